"""What a notice says, as JSON and as a Slack message: numbers and words of ours, and no more text than was asked for.

No key, token, room or value of a variable is ever in it; size and number of everything are bounded. Fields are added,
never changed; a change that a reader would have to know of raises `version`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.app.batches import BatchView
from orchestrator.app.report import ResultUrl, exit_meaning
from orchestrator.app.statement import moment, teardown_statement
from orchestrator.clients.refusal import plain
from orchestrator.domain.notice import Inclusion, Notice, NotificationSpec
from orchestrator.domain.verdict import Outcome

TYPE: Final = "batch.closed"
VERSION: Final = 1
MOST_LISTED: Final = 20  # runs, leftovers and links; `orchestrator batches show` names all
LONGEST_TEXT: Final = 200  # characters of a reason
SHORTEST_SECRET: Final = 4  # characters; anything shorter would mask ordinary words
SECTION_LIMIT: Final = 3000  # characters of a section's text (docs.slack.dev, Block Kit's text object)
SIGNS: Final = {
    "passed": ":white_check_mark:",
    "failed": ":x:",
    "inconclusive": ":grey_question:",
    "cancelled": ":stop_sign:",
}

_ADDRESS: Final = re.compile(r"\w+://\S+")


def notice_document(
    view: BatchView,
    notice: Notice,
    spec: NotificationSpec,
    *,
    result_url: ResultUrl,
    secrets: Sequence[str] = (),
) -> dict[str, Any]:
    """The document of kind webhook; `secrets` are values that no text in it may hold, such as those of variables."""
    hidden = sorted((one for one in secrets if len(one) >= SHORTEST_SECRET), key=len, reverse=True)
    batch, totals = view.batch, view.totals
    document: dict[str, Any] = {
        "type": TYPE,
        "version": VERSION,
        "id": notice.notice_id,
        "timestamp": moment(batch.closed_at),
        "why": [one.value for one in notice.why],
        "batch": {
            "id": batch.batch_id,
            "name": batch.name,
            "channel": view.plan.channel.value,
            "status": batch.status.value,
            "outcome": batch.outcome.value if batch.outcome else None,
            "cancelled": batch.cancel_asked_at is not None,
            "exit_code": int(view.exit_code),
            "exit_meaning": exit_meaning(view),
            "created_at": moment(batch.created_at),
            "closed_at": moment(batch.closed_at),
        },
        "came_to": notice.end.value,
        "before": _before(notice),
        "totals": {
            "runs": totals.runs,
            "passed": totals.passed,
            "failed": totals.failed,
            "inconclusive": totals.inconclusive,
            "pass_rate": totals.pass_rate,
        },
        **_teardown(view),
    }
    if Inclusion.REASONS in spec.include:
        document |= _reasons(view, hidden)
    if Inclusion.LINKS in spec.include:
        document["links"] = _links(view, result_url)
    return document


def slack_message(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same as Slack's incoming webhooks take it: `text` for notifications, `blocks` for the channel."""
    blocks = [_section("\n".join(_headline(document)))]
    runs = [
        f"• run {one['index']} (scenario {one['scenario']}): {one['reason'] or one['outcome']}"
        for one in document.get("runs", ())
    ]
    reason = [document["reason"]] if document.get("reason") else []
    if runs or reason:
        blocks.append(_section("\n".join(escaped(line) for line in [*reason, *runs])))
    if document.get("links"):
        links = [f"<{escaped(link)}|result {number}>" for number, link in enumerate(document["links"], start=1)]
        blocks.append(_section(" · ".join(links)))
    return {"text": escaped(_summary(document)), "blocks": blocks}


def escaped(text: str) -> str:
    """Text in which Slack sees no link, mention or channel (docs.slack.dev, formatting: these three letters)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _before(notice: Notice) -> dict[str, Any] | None:
    if notice.before is None:
        return None
    return {"batch_id": notice.before_batch_id, "came_to": notice.before.value}


def _teardown(view: BatchView) -> dict[str, Any]:
    """How the ends stood when this was sent. No id: a room's address opens it."""
    statement = teardown_statement(view.sessions, view.submissions)
    named = [*statement["left"], *statement["bounded"]]
    counts = {"sessions": statement["sessions"], "rooms": statement["rooms"], "confirmed": statement["confirmed"]}
    lists = {name: len(statement[name]) for name in ("bounded", "left", "uncertain")}
    leftovers = [{key: one[key] for key in ("what", "run", "state", "until")} for one in named[:MOST_LISTED]]
    return {"teardown": {**counts, **lists}, "leftovers": leftovers}


def _reasons(view: BatchView, hidden: Sequence[str]) -> dict[str, Any]:
    unpassed = [run for run in view.runs if run.outcome is not Outcome.PASSED]
    runs = [
        {
            "index": run.index,
            "scenario": run.scenario_id,
            "outcome": run.outcome.value if run.outcome else None,
            "reason": _short(run.reason, hidden),
        }
        for run in unpassed[:MOST_LISTED]
    ]
    reason = _short(view.batch.refusal or view.batch.cancel_reason, hidden)
    return {"reason": reason, "runs": runs, "runs_left_out": len(unpassed) - len(runs)}


def _links(view: BatchView, result_url: ResultUrl) -> list[str]:
    results = dict.fromkeys(run.cekura_result_id for run in view.runs if run.cekura_result_id is not None)
    links = (result_url(result_id) for result_id in results)
    return [link for link in links if link is not None][:MOST_LISTED]


def _short(text: str, hidden: Sequence[str]) -> str:
    """A reason without secrets and addresses: a room's, or a runner's, are nobody's outside."""
    return plain(
        _ADDRESS.sub("(address left out)", plain(text, secrets=hidden, limit=10 * LONGEST_TEXT)), limit=LONGEST_TEXT
    )


def _headline(document: Mapping[str, Any]) -> list[str]:
    batch, came_to, before = document["batch"], document["came_to"], document["before"]
    teardown = document["teardown"]
    lines = [f"{SIGNS[came_to]} *{escaped(batch['name'])}* {came_to}", escaped(_totals(document))]
    if before is not None and before["came_to"] != came_to:
        lines.append(f"The one before ({escaped(before['batch_id'])}) {before['came_to']}.")
    if teardown["left"] or teardown["bounded"]:
        lines.append(f"Teardown: {teardown['bounded']} bounded, {teardown['left']} left.")
    return [*lines, f"batch `{escaped(batch['id'])}`, exit code {batch['exit_code']}"]


def _summary(document: Mapping[str, Any]) -> str:
    return f"{document['batch']['name']} {document['came_to']}: {_totals(document)}"


def _totals(document: Mapping[str, Any]) -> str:
    totals = document["totals"]
    counts = ", ".join(f"{totals[name]} {name}" for name in ("passed", "failed", "inconclusive"))
    return f"{counts} of {totals['runs']}"


def _section(text: str) -> dict[str, Any]:
    """A section; what is too long is cut where no escaped letter can be cut in two."""
    if len(text) > SECTION_LIMIT:
        text = f"{text[: SECTION_LIMIT - 3].rpartition(chr(10))[0]}\n..."
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}
