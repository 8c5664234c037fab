"""Cekura's results over its API: listed, shown, named, shared, and their calls ended."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from orchestrator.sandbox.catalogue import agent_of_assistant, project_of
from orchestrator.sandbox.cekura import Cekura, Result
from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.documents import result_document, result_listing
from orchestrator.sandbox.edge import Adder
from orchestrator.sandbox.exchange import Answer, Asked
from orchestrator.sandbox.fields import FieldErrors
from orchestrator.sandbox.pages import integer_of, paged

NAME_LIMIT: Final = 255
NOTHING: Final = Answer(body=None, content_type="")
NOT_FOUND: Final = Answer(status=404, body={"detail": "Not found."})
NOT_JSON: Final = Answer(status=400, body={"detail": "JSON parse error"})
NO_MOMENT: Final = Answer(status=400, body={"expire_at": ["Datetime has wrong format."]})
NOT_IN_PLAN: Final = Answer(status=403, body={"detail": "Your subscription does not include shared reports."})


class ResultRoutes:
    """Handlers of everything below the results' path."""

    def __init__(self, *, cekura: Cekura, clock: SandboxClock) -> None:
        self._cekura = cekura
        self._clock = clock

    def add_to(self, add: Adder, results: str) -> None:
        """Register the paths of one family, below its path of results."""
        one = rf"{results}/{{id:\d+}}"
        add("result_list", "GET", f"{results}/", self.list_results)
        add("result_get", "GET", f"{one}/", self.get_result)
        add("result_rename", "PATCH", f"{one}/", self.rename_result)
        add("end_calls", "POST", f"{one}/end_calls/", self.end_calls)
        add("share_link", "POST", f"{one}/create_shareable_link_token/", self.share)

    def list_results(self, asked: Asked) -> Answer:
        """GET results: newest first."""
        try:
            found = self._found(asked.query)
        except FieldErrors as error:
            return Answer(status=400, body=error.errors)
        except ValueError:
            return Answer(status=400, body={"detail": "Invalid query."})
        return paged(asked, found, result_listing)

    def _found(self, query: Mapping[str, str]) -> list[Result]:
        agent, project = integer_of(query, "agent_id"), integer_of(query, "project_id")
        scenarios = {int(text) for text in query.get("scenarios", "").split(",") if text}
        assistant = agent_of_assistant(query["assistant_id"]) if query.get("assistant_id") else None
        if query.get("assistant_id") and assistant is None:
            return []
        agents = {agent, assistant.id if assistant else None} - {None}
        sought = query.get("search", "").casefold()
        return [
            result
            for result in reversed(self._cekura.results.values())
            if agents <= {result.agent}
            and project in {None, project_of(result.agent)}
            and (not scenarios or scenarios & {run.scenario for run in result.runs})
            and sought in result.name.casefold()
        ]

    def get_result(self, asked: Asked) -> Answer:
        """GET results/{id}."""
        result = self._result(asked)
        return Answer(body=result_document(result)) if result else NOT_FOUND

    def rename_result(self, asked: Asked) -> Answer:
        """PATCH results/{id}: only its name."""
        result = self._result(asked)
        if result is None:
            return NOT_FOUND
        try:
            name = asked.json().get("name", result.name)
        except (ValueError, AttributeError):
            return NOT_JSON
        if not isinstance(name, str) or len(name) > NAME_LIMIT:
            return Answer(status=400, body={"name": [f"Ensure this field has no more than {NAME_LIMIT} characters."]})
        result.name = name
        result.updated_at = self._clock.now()
        for run in result.runs:
            run.cached = None
        return Answer(body=result_document(result))

    def end_calls(self, asked: Asked) -> Answer:
        """POST results/{id}/end_calls: 200 without a body."""
        result = self._result(asked)
        if result is None:
            return NOT_FOUND
        for run in result.runs:
            self._cekura.end_call(run)
        return NOTHING

    def share(self, asked: Asked) -> Answer:
        """POST create_shareable_link_token: a link for anyone, for good where `expire_at` is null or missing.

        Nothing answers behind it here.
        """
        if asked.fault == "not_in_plan":
            return NOT_IN_PLAN
        if self._result(asked) is None:
            return NOT_FOUND
        try:
            body = asked.json()
            moment = body.get("expire_at")
        except (ValueError, AttributeError):
            return NOT_JSON
        if moment is not None and not _is_moment(moment):
            return NO_MOMENT
        token = secrets.token_urlsafe(24)
        link = f"http://{asked.headers.get('Host', '')}/shared/{asked.parts['id']}?token={token}"
        return Answer(body={"token": token, "shareable_link": link})

    def _result(self, asked: Asked) -> Result | None:
        return self._cekura.results.get(int(asked.parts["id"]))


def _is_moment(text: Any) -> bool:
    try:
        datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    return True
