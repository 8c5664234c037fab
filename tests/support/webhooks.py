"""Bodies of Cekura's webhooks, written from what its documents say of their shapes and their slips."""

RUN = {
    "id": 39129,
    "scenario": {"id": 11736, "name": "Reschedule", "personality_name": "Direct", "expected_outcome_prompt": ""},
    "expected_outcome": {},
    "success": True,
    "evaluation": {"metrics": [{"id": 7, "name": "greets", "type": "binary_workflow_adherence", "score": 5}]},
    "transcript_object": [
        {"role": "Testing Agent", "time": "00:02", "content": "Hello.", "start_time": 2.3, "end_time": 2.8}
    ],
    "voice_recording": "https://example.test/recording.wav",
    "timestamp": "2026-08-20T09:00:00Z",
    "executed_at": "2026-08-20T09:00:01Z",
    "error_message": "",
}
FAILED_RUN = RUN | {
    "id": 39130,
    "success": False,
    "evaluation": {"metrics": [{"id": 7, "type": "binary_workflow_adherence", "score": 0, "explanation": ["No."]}]},
}


def of_result(*, event="result.completed", result_id=17759, runs=None, **changes):
    data = {
        "id": result_id,
        "name": "",
        "agent": 5,
        "status": "completed",
        "met_expected_outcome_count": 1,
        "total_expected_outcome_count": 1,
        "success_rate": 100,
        "run_as_text": False,
        "is_cronjob": False,
        "runs": {"39129": RUN} if runs is None else runs,
        "created_at": "2026-08-20T09:00:00Z",
    }
    return {"event_type": event, "data": data | changes}


PRE_TRIGGER = {
    "event_type": "result.pre_trigger",
    "data": {"id": 17759, "name": "", "agent": 5, "status": "pending", "is_cronjob": False},
}
CALL_LOG = {
    "event_type": "call_log.completed",
    "data": {
        "id": 17759,  # a call log's number, which happens to be a result's as well
        "agent": 5,
        "agent_id": "5",
        "call_id": "39129",
        "status": "success",
        "success": True,
        "duration": "01:10",
        "voice_recording_url": "https://example.test/recording.mp3",
        "critical_categories": [],
        "evaluation": {"metrics": []},
        "transcript": "[0:00] Testing Agent: Hello.",
        "transcript_object": [{"role": "Testing Agent", "time": "0:00", "content": "Hello."}],
        "metadata": {},
        "topic": "{}",
    },
}
# What Cekura passes on from a provider has no envelope of Cekura's.
OF_VAPI = {"message": {"timestamp": 1728862846068, "type": "end-of-call-report", "call": {"id": "c-1"}}}
OF_RETELL = {"event": "call_ended", "call": {"call_id": "c-1", "call_status": "ended"}}
