"""What a process is told at its edge: TOML files and options, read once and passed on as frozen values."""

import tomllib
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bus.errors import ConfigInvalid
from bus.toml import parse_toml


class Settings(BaseModel):
    """Base of all settings: frozen, and a misspelt key is an error, not silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KafkaSettings(Settings):
    """How to reach the cluster. Names are Kafka's own, with underscores."""

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    request_timeout_ms: int = Field(default=10_000, ge=100)


class RegistrySettings(Settings):
    """Where schema ids come from: the topic, unless a Confluent-compatible server is named."""

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    topic: str = "_schemas"
    cache_dir: Path | None = None


Model = TypeVar("Model", bound=BaseModel)


def load_toml(path: Path, model: type[Model]) -> Model:
    """Read one TOML file into a settings model.

    Raises ConfigInvalid with file, key and what was expected; never with the value, which may be a secret.
    """
    try:
        return model.model_validate(parse_toml(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise ConfigInvalid(f"{path}: no such file; name an existing TOML file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: not readable as TOML in UTF-8: {error}") from error
    except ValidationError as error:
        raise ConfigInvalid(f"{path}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Each broken key with what was expected, in one line and without the values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in found['loc']) or 'file'}: {found['msg'].removeprefix('Value error, ')}"
        for found in error.errors(include_input=False, include_url=False)
    )
