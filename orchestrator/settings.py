"""What the environment decides: keys, addresses and the state's place, read once at the edge and passed in.

Every `NAME` may be given as `NAME_FILE`, the path of a file that holds the value (a mounted secret).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.secret import ApiKey

DEFAULT_DATABASE_URL: Final = "sqlite:///.orchestrator/state.db"


class Settings(BaseSettings):
    """The environment, validated. Keys that are absent are None; what that costs is `doctor`'s to say."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", arbitrary_types_allowed=True, case_sensitive=True, populate_by_name=True
    )

    cekura_api_key: ApiKey | None = Field(default=None, validation_alias="CEKURA_API_KEY")
    cekura_api_url: str = Field(default="https://api.cekura.ai", validation_alias="CEKURA_API_URL")
    cekura_dashboard_url: str = Field(default="https://dashboard.cekura.ai", validation_alias="CEKURA_DASHBOARD_URL")
    cekura_project_id: str | None = Field(default=None, validation_alias="CEKURA_PROJECT_ID")
    cekura_webhook_secret: ApiKey | None = Field(default=None, validation_alias="CEKURA_WEBHOOK_SECRET")
    pipecat_public_key: ApiKey | None = Field(default=None, validation_alias="PIPECAT_CLOUD_API_KEY")
    pipecat_private_key: ApiKey | None = Field(default=None, validation_alias="PIPECAT_CLOUD_PRIVATE_KEY")
    pipecat_api_host: str = Field(default="https://api.pipecat.daily.co", validation_alias="PIPECAT_API_HOST")
    daily_api_key: ApiKey | None = Field(default=None, validation_alias="DAILY_API_KEY")
    daily_api_url: str = Field(default="https://api.daily.co/v1", validation_alias="DAILY_API_URL")
    daily_keys: Annotated[Mapping[str, ApiKey], NoDecode] = Field(
        default_factory=dict, validation_alias="ORCHESTRATOR_DAILY_KEYS"
    )
    database_url: str = Field(default=DEFAULT_DATABASE_URL, validation_alias="ORCHESTRATOR_DATABASE_URL")
    owner: str | None = Field(default=None, validation_alias="ORCHESTRATOR_OWNER")
    sessions_limit: int | None = Field(default=None, ge=1, validation_alias="ORCHESTRATOR_SESSIONS_LIMIT")
    calls_limit: int | None = Field(default=None, ge=1, validation_alias="ORCHESTRATOR_CALLS_LIMIT")
    batches_at_once: int = Field(default=20, ge=1, le=1000, validation_alias="ORCHESTRATOR_BATCHES_AT_ONCE")
    lease_seconds: float = Field(default=10.0, ge=1, le=300, validation_alias="ORCHESTRATOR_LEASE_SECONDS")
    log_level: str = Field(default="WARNING", validation_alias="ORCHESTRATOR_LOG_LEVEL")
    log_format: Literal["human", "json"] = Field(default="human", validation_alias="ORCHESTRATOR_LOG_FORMAT")
    traces: Literal["off", "otlp"] = Field(default="off", validation_alias="ORCHESTRATOR_TRACES")
    data_message_limit: int = Field(default=65_536, ge=1, validation_alias="ORCHESTRATOR_DATA_MESSAGE_LIMIT")

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
    return tuple(str(field.validation_alias) for field in Settings.model_fields.values())


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
