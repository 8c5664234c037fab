"""The batches of the weather matrix, and in which of them each operation is asked for at all."""

from dataclasses import replace

from tests.support.ordeal import CANCELLED, Scene, cancelled_in_their_calls

PLAIN = Scene()
BUDGETED = Scene(runs=3)
TOGETHER = Scene(runs=3, concurrency=3, different=True, plan="timing: {gather: 60}")
BY_RECORD = Scene(plan="readiness: {evidence: [record]}")
LOST = Scene(runs=1, faults=("submit.lost_answer=1",), sandbox={"call_seconds": (60.0, 70.0)})
OVERDUE = Scene(
    plan="timeouts: {run: 60}",
    sandbox={"call_seconds": (300.0, 400.0)},
    ends="inconclusive",
    reason="the call had not ended 60 s after submission",
)
LINGERING = replace(OVERDUE, faults=("bot.stays_after_stop=2",))  # who outstays its session is put out
STOPPED = Scene(
    runs=6,
    concurrency=6,
    sandbox={"call_seconds": (300.0, 400.0)},
    during=cancelled_in_their_calls,
    ends="inconclusive",
    reason=CANCELLED,
)
HEARD = Scene(webhooks=True)
SCENES = {
    "start": BUDGETED,
    "submit": BUDGETED,
    "agent_get": PLAIN,
    "room_get": PLAIN,
    "presence": PLAIN,
    "token_create": PLAIN,
    "poll": PLAIN,
    "presence_all": PLAIN,
    "session_stop": PLAIN,
    "session_get": PLAIN,
    "eject": LINGERING,
    "room_delete": PLAIN,
    "session_list": BY_RECORD,
    "result_list": LOST,
    "end_call": OVERDUE,
    "end_calls": STOPPED,
    "rooms_delete": STOPPED,
}
# Not done, and done without a usable answer: the first kind leaves nothing to be found.
NOTHING_DONE = ("lost_request", "error", "html")
LOST_START = "start answer was lost"
LOST_SUBMISSION = "Cekura's answer to the submission was lost"
UNSEEN = "nobody could see whether the bot joined its room within 120 s"
