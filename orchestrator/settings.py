"""What the environment decides: keys, addresses and the state's place, read once at the edge and passed in.

Every `NAME` may be given as `NAME_FILE`, the path of a file that holds the value (a mounted secret).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.secret import ApiKey

DEFAULT_DATABASE_URL: Final = "sqlite:///.orchestrator/state.db"


class Settings(BaseSettings):
    """The environment, validated. Keys that are absent are None; what that costs is `doctor`'s to say."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", arbitrary_types_allowed=True, case_sensitive=True, populate_by_name=True
    )

    cekura_api_key: ApiKey | None = Field(
        default=None,
        validation_alias="CEKURA_API_KEY",
        description="Cekura's API key, made in its dashboard by an admin: it places calls and reads their verdicts."
        " Without it nothing runs.",
    )
    cekura_api_url: str = Field(
        default="https://api.cekura.ai", validation_alias="CEKURA_API_URL", description="Where Cekura answers."
    )
    cekura_dashboard_url: str = Field(
        default="https://dashboard.cekura.ai",
        validation_alias="CEKURA_DASHBOARD_URL",
        description="Where a person looks at Cekura's results: what links in reports begin with.",
    )
    cekura_project_id: str | None = Field(
        default=None,
        validation_alias="CEKURA_PROJECT_ID",
        description="The project's number in Cekura's dashboard. Without it reports have no links to results.",
        examples=["42"],
    )
    cekura_webhook_secret: ApiKey | None = Field(
        default=None,
        validation_alias="CEKURA_WEBHOOK_SECRET",
        description="What Cekura's webhooks carry (X-CEKURA-SECRET), as set in the project there. With it `serve` takes"
        " them at /webhooks/cekura, and polls for a verdict as soon as one comes. Without it that address does not"
        " exist, and verdicts are polled for as ever.",
        examples=["a-long-random-text"],
    )
    pipecat_public_key: ApiKey | None = Field(
        default=None,
        validation_alias="PIPECAT_CLOUD_API_KEY",
        description="Pipecat Cloud's public key (pk_...): it starts sessions and does nothing else. Without it only"
        " agents on a runner of yours can be tested.",
    )
    pipecat_private_key: ApiKey | None = Field(
        default=None,
        validation_alias="PIPECAT_CLOUD_PRIVATE_KEY",
        description="Pipecat Cloud's private key: it lists and stops sessions. Without it a session bills until its bot"
        " leaves or its longest duration (2 h by default) ends it, and a lost start cannot be looked up.",
    )
    pipecat_api_host: str = Field(
        default="https://api.pipecat.daily.co",
        validation_alias="PIPECAT_API_HOST",
        description="Where Pipecat Cloud answers.",
    )
    daily_api_key: ApiKey | None = Field(
        default=None,
        validation_alias="DAILY_API_KEY",
        description="The key of one Daily domain: it sees who is in a room, mints the caller's own token and"
        " deletes rooms. Without it rooms end at their expiry, bots are not seen to join, and the caller shares the"
        " bot's token.",
    )
    daily_api_url: str = Field(
        default="https://api.daily.co/v1", validation_alias="DAILY_API_URL", description="Where Daily answers."
    )
    daily_keys: Annotated[Mapping[str, ApiKey], NoDecode] = Field(
        default_factory=dict,
        validation_alias="ORCHESTRATOR_DAILY_KEYS",
        description="Keys of further Daily domains, each after its domain's name. Without a domain's key its rooms are"
        " as without DAILY_API_KEY.",
        examples=["acme=key1,acme-staging=key2"],
    )
    database_url: str = Field(
        default=DEFAULT_DATABASE_URL,
        validation_alias="ORCHESTRATOR_DATABASE_URL",
        description="Where the state is kept: in an SQLite file, which one process drives (sqlite:///PATH, from the"
        " working directory on; sqlite:////PATH from the root), or in PostgreSQL, which many workers share"
        " (postgresql://USER:PASSWORD@HOST/DATABASE).",
    )
    owner: str | None = Field(
        default=None,
        validation_alias="ORCHESTRATOR_OWNER",
        description="Who marks the sessions, so that `gc` knows its own with the state lost. Without it: the PostgreSQL"
        " database, or this host since its boot and the SQLite file. Give a name of its own to whatever runs on hosts"
        " that come and go, and never one name to two states that are driven at once.",
        examples=["voice-tests"],
    )
    sessions_limit: int | None = Field(
        default=None,
        ge=1,
        validation_alias="ORCHESTRATOR_SESSIONS_LIMIT",
        description="How many sessions all batches and pools of this state may have alive at once, over all workers:"
        " what the provider allows. Without it each plan and pool only keeps to its own limit.",
        examples=["50"],
    )
    calls_limit: int | None = Field(
        default=None,
        ge=1,
        validation_alias="ORCHESTRATOR_CALLS_LIMIT",
        description="How many calls all batches of this state may have at once, over all workers: what Cekura allows"
        " the organisation. Without it each plan only keeps to its own limit, and what is above Cekura's waits there"
        " while its bot bills.",
        examples=["10"],
    )
    batches_at_once: int = Field(
        default=20,
        ge=1,
        le=1000,
        validation_alias="ORCHESTRATOR_BATCHES_AT_ONCE",
        description="How many batches one worker drives at once; more wait for a worker that has room.",
    )
    lease_seconds: float = Field(
        default=10.0,
        ge=1,
        le=300,
        validation_alias="ORCHESTRATOR_LEASE_SECONDS",
        description="Seconds of silence after which another worker takes what a worker owned that was killed, frozen or"
        " cut off from PostgreSQL. Shorter: taken over sooner, and also after a short hiccup. An SQLite file needs"
        " none.",
    )
    log_level: str = Field(
        default="WARNING",
        validation_alias="ORCHESTRATOR_LOG_LEVEL",
        description="Log lines of this level and above go to stderr: DEBUG, INFO, WARNING, ERROR or CRITICAL."
        " `--log-level` outweighs it.",
    )
    plan_variables: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias="ORCHESTRATOR_PLAN_VARIABLES",
        description="Which environment variables plans that come by HTTP may read, by commas. Whoever may begin a batch"
        " chooses where its sessions start, and could have these sent there. Without it such plans read none.",
        examples=["CUSTOMER_ID,STAGING_URL"],
    )
    log_format: Literal["human", "json"] = Field(
        default="human",
        validation_alias="ORCHESTRATOR_LOG_FORMAT",
        description="How log lines look on stderr: human, or json (one object a line, for a collector).",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        validation_alias="ORCHESTRATOR_TRACES",
        description="Spans of each run: off, or otlp (OTLP over HTTP, to where OTEL_EXPORTER_OTLP_ENDPOINT says; needs"
        " the extra `traces`). OpenTelemetry's own OTEL_* variables apply.",
    )
    confirm_above: int = Field(
        default=250,
        ge=0,
        validation_alias="ORCHESTRATOR_CONFIRM_ABOVE",
        description="How many runs `orchestrator run` begins unasked: beyond that it asks, or wants --yes.",
    )
    data_message_limit: int = Field(
        default=65_536,
        ge=1,
        validation_alias="ORCHESTRATOR_DATA_MESSAGE_LIMIT",
        description="The largest data message of a run, in bytes of JSON; a plan with a larger one is refused.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but what `load_settings` resolved (it knows `*_FILE` and injected environments)."""
        return (init_settings,)

    @field_validator(
        "cekura_api_key",
        "cekura_webhook_secret",
        "pipecat_public_key",
        "pipecat_private_key",
        "daily_api_key",
        mode="before",
    )
    @classmethod
    def _masked(cls, value: Any) -> Any:
        return ApiKey(value.strip()) if isinstance(value, str) and value.strip() else None

    @field_validator("daily_keys", mode="before")
    @classmethod
    def _keys_per_domain(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = (pair.partition("=") for pair in value.split(",") if pair.strip())
        keys = {domain.strip(): ApiKey(key.strip()) for domain, _, key in pairs}
        if any(not domain or not key for domain, key in keys.items()):
            message = "must read domain=key[,domain=key...]"
            raise ValueError(message)
        return keys

    @field_validator("plan_variables", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(one.strip() for one in value.split(",") if one.strip()) if isinstance(value, str) else value

    @field_validator("cekura_api_url", "pipecat_api_host", "daily_api_url", mode="after")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (the process's own when None); InvalidSettings names each variable at fault."""
    given = dict(os.environ if environ is None else environ)
    values = {name: value for name in variable_names() if (value := _value_of(name, given)) is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        # The offending value may be a key: name the variable and the rule, never the input.
        lines = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise InvalidSettings("\n".join(lines)) from None


def variable_names() -> tuple[str, ...]:
    """Every environment variable the settings read."""
    return tuple(variable.name for variable in variables())


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable as its reader sees it.

    `default` is empty where absence has a meaning of its own, which the description gives; `example` is a value that
    could stand there. `values` says what may: "secret", "whole number, 1 to 1000", "human or json".
    """

    name: str
    values: str
    default: str
    example: str
    description: str


def variables() -> tuple[Variable, ...]:
    """Every environment variable the settings read, in the order they stand in."""
    return tuple(
        Variable(
            name=str(field.validation_alias),
            values=_values_of(field),
            default=_default_of(field),
            example=str((field.examples or [""])[0]),
            description=field.description or "",
        )
        for field in Settings.model_fields.values()
    )


def _default_of(field: FieldInfo) -> str:
    if field.default in {None, ()} or field.default_factory is not None:
        return ""
    return f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


def _values_of(field: FieldInfo) -> str:
    """What a variable may hold, in words."""
    kinds = [one for one in (get_args(field.annotation) or (field.annotation,)) if one is not type(None)]
    if ApiKey in kinds:
        return "secret" if kinds == [ApiKey] else "domain=secret, by commas"
    if all(isinstance(kind, str) for kind in kinds):
        return " or ".join(kinds)
    if Ellipsis in kinds:
        return "names, by commas"
    if kinds[0] not in {int, float}:
        return "URL" if "://" in str(field.default) else "text"
    least, most = (_rule(field, name) for name in ("ge", "le"))
    kind = "whole number" if kinds[0] is int else "number"
    return f"{kind}, {least} or more" if most is None else f"{kind}, {least} to {most}"


def _rule(field: FieldInfo, name: str) -> object:
    return next((getattr(rule, name) for rule in field.metadata if hasattr(rule, name)), None)


def _value_of(name: str, environ: Mapping[str, str]) -> str | None:
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        message = (
            f"{name}_FILE: the file it names cannot be read: {why}"  # its value may be the key, put there by mistake
        )
        raise InvalidSettings(message) from error
