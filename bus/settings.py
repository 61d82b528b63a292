"""What a process is told at its edge: TOML files and options, read once and passed on as frozen values."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

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


def from_options(model: type[Model], names: Mapping[str, str], /, **given: Any) -> Model:
    """What came as options. Raises ConfigInvalid, told as ``explain_options`` does with these names."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ConfigInvalid(explain_options(error, names)) from error


def explain(error: ValidationError, whole: str | None = "file") -> str:
    """Each broken key with what was expected, in one line and without the values.

    ``whole`` is the word for what no single key is to blame for; None for no word.
    """
    told = ((".".join(str(part) for part in found["loc"]) or whole, _expected(found)) for found in _broken(error))
    return "; ".join(f"{where}: {expected}" if where else expected for where, expected in told)


def explain_options(error: ValidationError, names: Mapping[str, str] | None = None) -> str:
    """The same for values that came as options; ``names`` are those options that are not called as their fields."""
    told = []
    for found in _broken(error):
        field = next((part for part in reversed(found["loc"]) if isinstance(part, str)), None)
        option = field and f"option --{(names or {}).get(field, field).replace('_', '-')}: "
        told.append(f"{option or ''}{_expected(found)}")
    return "; ".join(told)


def _broken(error: ValidationError) -> list[ErrorDetails]:
    """Without lists that are said to be too short only since an item of theirs is broken."""
    found = error.errors(include_input=False, include_url=False)
    inside = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    return [each for each in found if not (each["type"] == "too_short" and each["loc"] in inside)]


def _expected(found: ErrorDetails) -> str:
    return found["msg"].removeprefix("Value error, ")
