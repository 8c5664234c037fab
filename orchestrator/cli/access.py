"""`tokens` and `audit`: what can be typed about who may use the service, and about who did what."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final

import typer

from orchestrator.cli.edge import carry_out
from orchestrator.cli.options import AsJson, Logged
from orchestrator.cli.records import new_group
from orchestrator.domain.access import Scope

UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST_DAYS: Final = 3650


def read_lifetime(text: str) -> timedelta:
    """`90d`, `12h` or `30m`; a usage error for anything else, for no time at all, and for more than ten years."""
    match = re.fullmatch(r"([0-9]{1,7})([mhd])", text)
    lifetime = timedelta(**{UNITS[match[2]]: int(match[1])}) if match else timedelta()
    if not timedelta() < lifetime <= timedelta(days=LONGEST_DAYS):
        raise typer.BadParameter("a time such as 90d, 12h or 30m, ten years at most; leave it out for no end")
    return lifetime


tokens = new_group(
    "tokens", "Make, list and revoke the tokens that open the service.", "orchestrator tokens create ci --scope run"
)
audit = new_group("audit", "Show who did what to what, and when.", "orchestrator audit list --limit 5")


@tokens.command("create", epilog="Example:\n\norchestrator tokens create nightly-ci --scope run --expires 90d")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whoever will hold it; the audit names them so.")],
    *,
    scope: Annotated[
        Scope, typer.Option(metavar="SCOPE", help="read (look), run (begin and cancel batches too), or admin (all).")
    ],
    expires: Annotated[
        timedelta | None,
        typer.Option(
            metavar="TIME",
            parser=read_lifetime,
            help="It is good for so long: 90d, 12h, 30m. Without it, until it is revoked.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Make a token and print its secret, once: it is kept nowhere."""
    from orchestrator.cli import tokens as work

    carry_out(
        lambda: work.create_token(name, scope=scope, lifetime=expires, as_json=as_json),
        as_json=as_json,
        log_level=log_level,
    )


@tokens.command("list", epilog="Example:\n\norchestrator tokens list --json")
def list_tokens(*, as_json: AsJson = False, log_level: Logged = None) -> None:
    """List all tokens there ever were, newest first; their secrets are not known."""
    from orchestrator.cli import tokens as work

    carry_out(lambda: work.list_tokens(as_json=as_json), as_json=as_json, log_level=log_level)


@tokens.command("revoke", epilog="Example:\n\norchestrator tokens revoke nightly-ci")
def revoke_token(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its name or id.")],
    *,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Revoke a token for good; running workers refuse it within seconds."""
    from orchestrator.cli import tokens as work

    carry_out(lambda: work.revoke_token(token, as_json=as_json), as_json=as_json, log_level=log_level)


@audit.command("list", epilog="Example:\n\norchestrator audit list --target nightly-ci --json")
def list_entries(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest so many.")] = 50,
    target: Annotated[
        str | None, typer.Option(metavar="TARGET", help="Only what was done to this batch, token, schedule or pool.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="ACTOR", help="Only what was done by this actor.")] = None,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """List the newest lines of the audit."""
    from orchestrator.cli import tokens as work

    carry_out(
        lambda: work.list_entries(limit=limit, target=target, actor=actor, as_json=as_json),
        as_json=as_json,
        log_level=log_level,
    )
