"""Sending the notices of a state: what each says, where its plan wants it, and what a command tells of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from orchestrator.app.batches import view_batch
from orchestrator.app.notice_documents import notice_document, slack_message
from orchestrator.app.report import ResultUrl
from orchestrator.clients.notices import post_notice
from orchestrator.clock import Clock
from orchestrator.domain.notice import Delivery, DeliveryResult, Notice, NoticeKind, NotificationSpec
from orchestrator.domain.secret import Secret
from orchestrator.engine.notifier import Notifier, Told
from orchestrator.plans.notifications import address_trouble, key_in
from orchestrator.store.database import Store

COMMAND_SECONDS: Final = 15.0  # that a command waits for its notices before it ends
HURRIED_SECONDS: Final = 1.0  # the same, when somebody interrupted it


class NoticeSender:
    """Makes one try: reads the rows, writes the words, and posts them to where this process's variables say."""

    def __init__(self, *, store: Store, clock: Clock, environ: Mapping[str, str], result_url: ResultUrl) -> None:
        self._store = store
        self._clock = clock
        self._environ = environ
        self._result_url = result_url

    async def __call__(self, notice: Notice) -> Delivery:
        """One try; `UNSENDABLE` where this process has not what it takes, and another may."""
        view = await view_batch(self._store, notice.batch_id)
        spec = view.plan.notifications[notice.position]
        address = self._environ.get(spec.url_variable, "")
        if (trouble := self._trouble(spec)) is not None:
            return Delivery(result=DeliveryResult.UNSENDABLE, trouble=trouble)
        secrets = [self._environ[name] for name in view.plan.env_names if self._environ.get(name)]
        document = notice_document(view, notice, spec, result_url=self._result_url, secrets=secrets)
        return await post_notice(
            slack_message(document) if spec.kind is NoticeKind.SLACK else document,
            kind=spec.kind,
            url=Secret(address),
            key=self._key(spec),
            notice_id=notice.notice_id,
            clock=self._clock,
        )

    def _trouble(self, spec: NotificationSpec) -> str | None:
        for name in (spec.url_variable, spec.secret_variable):
            if name is not None and not self._environ.get(name):
                return f"the environment variable {name} is not set where it was to be sent from"
        if (trouble := address_trouble(self._environ[spec.url_variable])) is not None:
            return f"the environment variable {spec.url_variable} {trouble}"
        if spec.secret_variable is not None and self._key(spec) is None:
            return f"the environment variable {spec.secret_variable} holds no secret"
        return None

    def _key(self, spec: NotificationSpec) -> bytes | None:
        return None if spec.secret_variable is None else key_in(self._environ[spec.secret_variable])


def build_notifier(
    store: Store,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    result_url: ResultUrl,
    told: Told = lambda _kind, _result: None,
) -> Notifier:
    """A notifier of an open state, with what the environment holds."""
    send = NoticeSender(store=store, clock=clock, environ=environ, result_url=result_url)
    return Notifier(store=store, clock=clock, send=send, random=Random(), told=told)  # noqa: S311  it spreads tries


def unsent_text(notice: Notice) -> str:
    """What a command says of a notice that it could not send."""
    what = f"notice {notice.notice_id} ({notice.kind.value}) of batch {notice.batch_id}"
    why = f": {notice.last_error}" if notice.last_error else ""
    if notice.given_up_at is not None:
        return f"{what} was given up{why}"
    due = f" from {notice.next_try_at.isoformat(timespec='seconds')} on" if notice.next_try_at is not None else ""
    return f"{what} was not sent yet{why}; a `run`, `serve` or `gc` on this state tries again{due}"


def notice_row_document(notice: Notice) -> dict[str, Any]:
    """One notice as JSON; where it goes is not known to the state."""
    moments = {name: getattr(notice, name) for name in ("created_at", "next_try_at", "sent_at", "given_up_at")}
    return {
        "id": notice.notice_id,
        "batch": notice.batch_id,
        "position": notice.position,
        "kind": notice.kind.value,
        "status": notice.status.value,
        "why": [one.value for one in notice.why],
        "outcome": notice.end.value,
        "before": notice.before.value if notice.before is not None else None,
        "tries": notice.tries,
        "last_error": notice.last_error,
        **{name: at.isoformat() if at is not None else None for name, at in moments.items()},
    }
