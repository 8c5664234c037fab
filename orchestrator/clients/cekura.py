"""Cekura: submit rooms, watch runs, end calls.

Sources: Cekura's OpenAPI (August 2026) and its published guides. Paths end in a slash (without it a POST is redirected
and loses its body). Actions are v1, reads are v2: the v1 reads are deprecated. No idempotency key exists, so a
submission is never repeated; Cekura's own SDK re-sends it on a timeout, which is why this client stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from orchestrator.clients.cekura_automated import (
    automated_body,
    automated_endpoint,
    automated_secrets,
    result_name,
)
from orchestrator.clients.cekura_run import accepted_submission, call_observation
from orchestrator.clients.cekura_scenarios import (
    MOST_SCENARIO_PAGES,
    SCENARIO_PAGE,
    TagFilter,
    cekura_agent,
    scenario_record,
    selection,
)
from orchestrator.clients.http import Answer, AnswerTooLarge, RemoteHttp
from orchestrator.clients.observer import RequestObserver
from orchestrator.clients.pace import Pace, Share, alone
from orchestrator.clients.refusal import Dialect
from orchestrator.clients.wire import number, record_of, text_of, whole_number
from orchestrator.clock import Clock
from orchestrator.domain.errors import InvalidSettings, RemoteAuthFailed, RemoteNotFound, RemoteProtocolError
from orchestrator.domain.observation import (
    AcceptedSubmission,
    AutomatedSubmission,
    Billing,
    CallObservation,
    CekuraAgent,
    ScenarioRecord,
    SubmittedRoom,
)
from orchestrator.settings import Settings

REMOTE: Final = "Cekura"
V1: Final = "/test_framework/v1"
V2: Final = "/test_framework/v2"
IDS_PER_REQUEST: Final = 200
LONGEST_ID_LIST: Final = 1800  # characters: what proxies take in a URL, less the rest of ours
PAGE: Final = 50
MOST_PAGES: Final = 20
REQUESTS_PER_SECOND: Final = 20.0  # limits exist per plan and are not published: the pace learns them from refusals

KEY_ADVICE: Final = (
    "CEKURA_API_KEY must be an API key of the organisation or project that owns the agent and scenarios."
)
BILLING_ADVICE: Final = (
    "A project's key may not read billing (an organisation's may): the plan's limits.calls decides then."
)
SHARE_ADVICE: Final = "Share links need a Cekura subscription with white-label reports: without one, leave them out."
SELECTION_ADVICE: Final = "Narrow the selection by tags or by folder, or name the scenarios by id."
DIALECT: Final = Dialect(
    key_advice=KEY_ADVICE,
    missing_advice="Check the id, and that CEKURA_API_KEY belongs to the organisation that owns it.",
    address_advice="Check CEKURA_API_URL and the network, then try again.",
    lookup_advice="Calls may have been placed: look in Cekura's results, never submit again.",
)


class CekuraClient:
    """Cekura under one key."""

    ids_per_request: int = IDS_PER_REQUEST

    def __init__(self, http: RemoteHttp, *, dashboard_url: str | None = None, project_id: str | None = None) -> None:
        self._http = http
        self._dashboard_url = dashboard_url
        self._project_id = project_id

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        clock: Clock,
        pace_scale: float = 1.0,
        share: Share = alone,
        observer: RequestObserver | None = None,
    ) -> CekuraClient:
        """The client that `settings` describes; InvalidSettings without CEKURA_API_KEY."""
        if settings.cekura_api_key is None:
            raise InvalidSettings(f"CEKURA_API_KEY is missing. {KEY_ADVICE}")
        http = RemoteHttp(
            remote=REMOTE,
            base_url=settings.cekura_api_url,
            headers={"X-CEKURA-API-KEY": settings.cekura_api_key.reveal()},
            clock=clock,
            pace=Pace(rate=REQUESTS_PER_SECOND, burst=20, scale=pace_scale, share=share),
            dialect=DIALECT,
            observer=observer,
        )
        return cls(http, dashboard_url=settings.cekura_dashboard_url, project_id=settings.cekura_project_id)

    def __repr__(self) -> str:
        return f"CekuraClient({self._http!r})"

    async def submit(
        self,
        *,
        cekura_agent_id: int | None,
        mock_tool_names: tuple[str, ...] | None,
        rooms: Sequence[SubmittedRoom],
    ) -> AcceptedSubmission:
        """Have one call placed in each room; costs credits from the moment it is accepted.

        Never repeated; a lost answer is OutcomeUnknown and is looked up with `list_results`. The answer names
        scenarios, never rooms, and may hold fewer runs than were submitted. The caller tears the rooms down.
        """
        body: dict[str, Any] = {"scenarios": [_element(room) for room in rooms]}
        if cekura_agent_id is not None:
            body["agent"] = cekura_agent_id
        if mock_tool_names is not None:
            body["mock_tool_names"] = list(mock_tool_names)
        answer = await self._http.act(
            "POST",
            f"{V1}/scenarios/run_scenarios_pipecat/",
            operation="submit",
            json=body,
            secrets=tuple(room.meeting_token.reveal() for room in rooms if room.meeting_token),
        )
        return _accepted(answer)

    async def submit_automated(self, submission: AutomatedSubmission) -> AcceptedSubmission:
        """Have Cekura start, call and end the sessions itself; costs credits from the moment it is accepted.

        Never repeated; a lost answer is OutcomeUnknown and is looked up by its name with `list_results`. The answer
        may hold fewer runs than were asked for. The row of the submission is committed before; were we to die here,
        Cekura ends the sessions itself when their calls end, or `end_calls` does.
        """
        answer = await self._http.act(
            "POST",
            f"{V1}/scenarios/{automated_endpoint(submission.channel)}/",
            operation="submit_automated",
            json=automated_body(submission),
            secrets=automated_secrets(submission),
        )
        return _accepted(answer)

    async def list_scenarios(
        self,
        *,
        cekura_agent_id: int | None,
        project_id: int | None,
        tags: Sequence[str] = (),
        tag_filter: TagFilter = "or",
        folder_path: str | None = None,
    ) -> list[ScenarioRecord]:
        """Every scenario of the selection once, in Cekura's order; may be repeated, a lost answer means nothing.

        An empty `folder_path` selects what lies in no folder. RemoteProtocolError past 5000 scenarios: part of a
        selection is not what was asked for. ValueError for a tag that holds a comma.
        """
        asked = selection(
            cekura_agent_id=cekura_agent_id,
            project_id=project_id,
            tags=tags,
            tag_filter=tag_filter,
            folder_path=folder_path,
        )
        found: dict[int, ScenarioRecord] = {}
        for page in range(1, MOST_SCENARIO_PAGES + 1):
            records, more = await self._scenarios_page(page, asked)
            for record in records:
                found.setdefault(record.scenario_id, record)
            if not more:
                return list(found.values())
        raise RemoteProtocolError(
            remote=REMOTE,
            operation="list_scenarios",
            detail=f"the selection has more than {MOST_SCENARIO_PAGES} pages of scenarios",
            next_step=SELECTION_ADVICE,
        )

    async def get_cekura_agent(self, agent_id: int) -> CekuraAgent:
        """One agent as Cekura knows it; may be repeated, a lost answer means nothing."""
        answer = await self._http.read("GET", f"{V2}/aiagents/{agent_id:d}/", operation="get_cekura_agent")
        agent = cekura_agent(answer.record())
        if agent is None:
            raise answer.broken("an agent without an id")
        return agent

    async def get_runs(self, ids: Sequence[int]) -> list[CallObservation]:
        """What Cekura shows of these runs, in no order; may be repeated. A missing id is unknown, not done.

        One request per `ids_per_request` ids, fewer where their digits would make the URL too long.
        """
        found: dict[int, CallObservation] = {}
        for chunk in split_ids(ids):
            found.update({run.cekura_run_id: run for run in await self._runs(chunk)})
        return [found[run_id] for run_id in dict.fromkeys(ids) if run_id in found]

    async def get_result(self, result_id: int) -> AcceptedSubmission:
        """One result with its runs; may be repeated."""
        answer = await self._http.read("GET", f"{V2}/results/{result_id:d}/", operation="get_result")
        result = accepted_submission(answer.record())
        if result is None:
            raise answer.broken("a result without an id")
        return result

    async def list_results(
        self, *, cekura_agent_id: int | None, since: datetime, name: str | None = None
    ) -> list[AcceptedSubmission]:
        """Results created at `since` or later, newest first; may be repeated. At most 1000 are looked through.

        `name`: only those of exactly this name (its first 255 characters, which is what Cekura keeps). A result
        without a readable time of creation is kept: whoever matches it decides.
        """
        asked: dict[str, str | int] = {} if cekura_agent_id is None else {"agent_id": cekura_agent_id}
        if name is not None:
            asked["search"] = result_name(name)
        found: dict[int, AcceptedSubmission] = {}
        for page in range(1, MOST_PAGES + 1):
            results, more = await self._results_page(page, asked)
            fresh = [result for result in results if result.created_at is None or result.created_at >= since]
            found.update({result.cekura_result_id: result for result in fresh})
            if not more or not fresh:
                break
        # Cekura searches for a part of the name, in any case of its letters.
        named = [one for one in found.values() if name is None or result_name(one.name) == result_name(name)]
        return sorted(named, key=_newest_first)

    async def rename_result(self, result_id: int, name: str) -> None:
        """Label a result (255 characters); may be repeated."""
        path = f"{V2}/results/{result_id:d}/"
        await self._http.read("PATCH", path, operation="rename_result", json={"name": result_name(name)})

    async def share_result(self, result_id: int, *, expires_at: datetime | None) -> str:
        """A link that opens a result, its transcripts and recordings to whoever has it; until `expires_at`, if given.

        The link is a credential: never log it. May be repeated: a lost answer leaves a link that nobody knows, and a
        second one is harmless. RemoteAuthFailed with status 403: the subscription has no share links.
        """
        path = f"{V1}/results/{result_id:d}/create_shareable_link_token/"
        until = expires_at.astimezone(UTC).isoformat() if expires_at is not None else None
        try:
            answer = await self._http.read("POST", path, operation="share_result", json={"expire_at": until})
        except RemoteAuthFailed as error:
            if error.status == HTTPStatus.FORBIDDEN:
                error.next_step = SHARE_ADVICE
            raise
        link = text_of(answer.record().get("shareable_link"))
        if not (link.startswith(("https://", "http://")) and link.isprintable()):
            raise answer.broken("a share link that is no address")
        return link

    async def end_call(self, run_id: int) -> None:
        """End one run's call; may be repeated. RemoteNotFound: it knows no such run. The room stays ours to delete."""
        await self._http.read("POST", f"{V1}/runs/{run_id:d}/end_call/", operation="end_call", urgent=True)

    async def end_calls(self, result_id: int) -> None:
        """End every call of a result; may be repeated. The rooms stay ours to delete."""
        await self._http.read("POST", f"{V1}/results/{result_id:d}/end_calls/", operation="end_calls", urgent=True)

    async def billing(self) -> Billing:
        """Credits left and the plan's ceiling of parallel calls; may be repeated.

        RemoteAuthFailed with status 403: the key is a project's, which may not ask.
        """
        try:
            answer = await self._http.read("GET", "/test_framework/billing/info/", operation="billing")
        except RemoteAuthFailed as error:
            if error.status == HTTPStatus.FORBIDDEN:
                error.next_step = BILLING_ADVICE
            raise
        body = answer.record()
        pack = record_of(record_of(body.get("subscription_status")).get("pack"))
        return Billing(
            credits_remaining=number(body.get("credits_remaining")),
            calls_limit=whole_number(pack.get("max_concurrent_runs_limit")),
        )

    def result_url(self, result_id: int) -> str | None:
        """Where a person looks at a result; None without CEKURA_PROJECT_ID, which the address needs."""
        if not self._dashboard_url or not self._project_id:
            return None
        return f"{self._dashboard_url.rstrip('/')}/{self._project_id}/results/{result_id:d}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _runs(self, ids: tuple[int, ...]) -> list[CallObservation]:
        # Put together by hand: quoted commas would take three characters each.
        path = f"{V2}/runs/bulk/?run_ids={','.join(map(str, ids))}"
        try:
            answer = await self._http.read("GET", path, operation="get_runs")
        except AnswerTooLarge:
            # Each run carries its whole transcript: ask for half as many at a time.
            if len(ids) == 1:
                raise
            middle = len(ids) // 2
            return await self._runs(ids[:middle]) + await self._runs(ids[middle:])
        runs = [call_observation(item) for item in answer.records()]
        return [run for run in runs if run is not None and run.cekura_run_id in ids]

    async def _scenarios_page(self, page: int, asked: Mapping[str, str | int]) -> tuple[list[ScenarioRecord], bool]:
        answer = await self._page("scenarios", f"{V1}/scenarios/", page, SCENARIO_PAGE, asked)
        if answer is None:
            return [], False
        records = [scenario_record(item) for item in answer.array("results")]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            raise answer.broken("a scenario without an id")
        return known, bool(answer.record().get("next"))

    async def _results_page(self, page: int, asked: Mapping[str, str | int]) -> tuple[list[AcceptedSubmission], bool]:
        answer = await self._page("results", f"{V2}/results/", page, PAGE, asked)
        if answer is None:
            return [], False
        results = [accepted_submission(item) for item in answer.array("results")]
        return [result for result in results if result is not None], bool(answer.record().get("next"))

    async def _page(self, kind: str, path: str, page: int, size: int, asked: Mapping[str, str | int]) -> Answer | None:
        """One page of a list; None past the last, where a list that shrank meanwhile answers 404."""
        params = {**asked, "page": page, "page_size": size}
        try:
            return await self._http.read("GET", path, operation=f"list_{kind}", params=params)
        except RemoteNotFound:
            if page == 1:
                raise
            return None


def split_ids(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The ids of each bulk request: at most 200, and at most 1800 characters of URL; repeated ids go once."""
    chunk: list[int] = []
    length = 0
    for run_id in dict.fromkeys(ids):
        size = len(str(run_id)) + 1
        if chunk and (len(chunk) >= IDS_PER_REQUEST or length + size > LONGEST_ID_LIST):
            yield tuple(chunk)
            chunk, length = [], 0
        chunk.append(run_id)
        length += size
    if chunk:
        yield tuple(chunk)


def _accepted(answer: Answer) -> AcceptedSubmission:
    accepted = accepted_submission(answer.record())
    if accepted is None:
        raise answer.broken("a submission was answered without the id of its result")
    return accepted


def _element(room: SubmittedRoom) -> dict[str, Any]:
    element: dict[str, Any] = {"scenario": room.scenario_id, "pipecat_room_url": room.room_url}
    if room.meeting_token:
        element["pipecat_token"] = room.meeting_token.reveal()
    if room.has_data_message:
        element["publish_data_message"] = room.publish_data_message
    return element


def _newest_first(result: AcceptedSubmission) -> tuple[float, int]:
    created = result.created_at.timestamp() if result.created_at is not None else float("inf")
    return (-created, -result.cekura_result_id)
