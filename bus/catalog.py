"""The catalogue: which registers there are, who writes them, and how their topics are set."""

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from bus.errors import AgencyUnknown, CatalogInvalid, NotTheWriter, RegisterUnknown
from bus.names import AgencyCode, RegisterName, SubjectKind, TopicName
from bus.settings import Settings, explain
from bus.toml import parse_toml

EVERY_AGENCY = "every agency"
REGISTER_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
AGENCY_CODE = re.compile(r"[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4}")

_GENERATION = re.compile(r"\.g[0-9]+$")

HOUR_MS = 3_600_000


class TopicDefaults(Settings):
    partitions: int = Field(default=12, ge=1)
    delete_retention_hours: int = Field(default=720, ge=1)
    max_compaction_lag_hours: int = Field(default=72, ge=1)
    min_insync_replicas: int = Field(default=2, ge=1)


class DeadLetters(Settings):
    """The topic of parked events' copies: they hold personal data out of an erasure's reach, so not for long."""

    topic: TopicName | None = None
    partitions: int = Field(default=1, ge=1)
    retention_hours: int = Field(default=168, ge=1)


class Agency(Settings):
    en: str
    vi: str


class Register(Settings):
    """One authoritative data set about one subject kind: one Avro subject, one replica table."""

    name: RegisterName
    en: str
    vi: str
    writers: tuple[AgencyCode, ...] | Literal["every agency"]
    key_field: str
    subject_key: str
    """Field that joins this register to the others of its subject kind."""
    sensitivity: Literal["none", "personal", "sensitive"]
    legal_basis: str
    topic_per_writer: bool = False
    key_starts_with_writer: bool = False
    """A key is ``{agency code}-…``, so that two writers can never speak of the same key."""
    partitions: int = Field(default=12, ge=1)
    generation: int = Field(default=1, ge=1)
    """Of its topics: rises by one when they are copied to others with another partition count."""
    prefix: str
    topic_config: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _name_is_subject_and_register(cls, name: str) -> str:
        if not REGISTER_NAME.fullmatch(name):
            raise ValueError("a register is named subject.register in lower case, such as resident.identity")
        return name

    @model_validator(mode="after")
    def _one_writer_one_topic(self) -> Self:
        if not self.topic_per_writer and (self.writers == EVERY_AGENCY or len(self.writers) != 1):
            raise ValueError("one writer = one topic: name one writer, or set topic_per_writer = true")
        return self

    @property
    def subject(self) -> SubjectKind:
        return SubjectKind(self.name.split(".")[0])

    @property
    def deletes_kept(self) -> timedelta:
        """How long its topics keep a tombstone: their ``delete.retention.ms``."""
        return timedelta(milliseconds=int(self.topic_config["delete.retention.ms"]))

    @property
    def table(self) -> str:
        """Name of the replica table: ``resident_identity``."""
        return self.name.replace(".", "_")

    @property
    def avro_subject(self) -> str:
        """The registry's subject; one for the register, however many topics carry it."""
        return f"{self.prefix}.{self.name}-value"

    def written_by(self, agency: AgencyCode) -> bool:
        return self.writers == EVERY_AGENCY or agency in self.writers

    def topic(self, agency: AgencyCode) -> TopicName:
        """The topic that ``agency`` writes, from the second generation on with ``.g2``. Raises NotTheWriter."""
        return _of_generation(self.topic_stem(agency), self.generation)

    def topic_before(self, topic: TopicName) -> TopicName | None:
        """The topic of the generation before one of now; None in the first."""
        if self.generation == 1:
            return None
        return _of_generation(TopicName(topic.removesuffix(f".g{self.generation}")), self.generation - 1)

    def topic_stem(self, agency: AgencyCode) -> TopicName:
        """What the topics of all generations begin with. Raises NotTheWriter."""
        if not self.written_by(agency):
            raise NotTheWriter(
                f"{agency} may not write {self.name}: the catalogue names {', '.join(self.writers)} as its writer; "
                "report what is wrong to that agency instead",
            )
        base = f"{self.prefix}.{self.name}"
        return TopicName(f"{base}.{agency}" if self.topic_per_writer else base)


def _of_generation(stem: TopicName, generation: int) -> TopicName:
    return TopicName(f"{stem}.g{generation}") if generation > 1 else stem


def stem_of(topic: TopicName) -> TopicName:
    """What the topics of all its generations begin with."""
    return TopicName(_GENERATION.sub("", topic))


class Catalog(Settings):
    """All registers and agencies of one city."""

    prefix: str
    agencies: Mapping[AgencyCode, Agency]
    registers: Mapping[RegisterName, Register]
    dead_letters: DeadLetters = DeadLetters()

    @property
    def dead_letter_topic(self) -> TopicName:
        return self.dead_letters.topic or TopicName(f"{self.prefix}.dead-letters")

    def register(self, name: str) -> Register:
        try:
            return self.registers[RegisterName(name)]
        except KeyError:
            known = ", ".join(sorted(self.registers))
            raise RegisterUnknown(f"{name}: no such register in the catalogue; known are {known}") from None

    def agency(self, code: str) -> AgencyCode:
        if code not in self.agencies:
            raise AgencyUnknown(f"{code}: no such agency in the catalogue; add it under [agencies] or correct the code")
        return AgencyCode(code)

    def writers(self, register: Register) -> tuple[AgencyCode, ...]:
        return tuple(self.agencies) if isinstance(register.writers, str) else register.writers

    def topics(self, register: Register) -> Mapping[TopicName, AgencyCode]:
        """Every topic of a register with the one agency that writes it."""
        return {register.topic(agency): agency for agency in self.writers(register)}

    def of_subject(self, subject: str) -> tuple[Register, ...]:
        return tuple(register for register in self.registers.values() if register.subject == subject)


def load_catalog(path: Path | None = None, *, prefix: str | None = None) -> Catalog:
    """Read a catalogue; the one in the wheel unless ``path`` names another. ``prefix`` replaces the file's own.

    Raises CatalogInvalid, naming file, register and key.
    """
    source = path or files("bus") / "schemas" / "catalog.toml"
    try:
        raw = parse_toml(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogInvalid(f"{path}: not readable as a catalogue: {error}") from error
    try:
        return _catalog(raw, prefix)
    except ValidationError as error:
        raise CatalogInvalid(f"{path or 'catalog.toml'}: {explain(error)}") from error


def _catalog(raw: dict[str, object], prefix: str | None) -> Catalog:
    defaults = TopicDefaults.model_validate(raw.pop("topic_defaults", {}))
    chosen = prefix or raw.get("prefix")
    entries = raw.get("registers")
    registers = {
        name: {
            "partitions": defaults.partitions,
            **entry,
            "name": name,
            "prefix": chosen,
            "topic_config": _config(defaults),
        }
        if isinstance(entry, dict)
        else entry
        for name, entry in (entries.items() if isinstance(entries, dict) else ())
    }
    catalog = Catalog.model_validate({**raw, "prefix": chosen, "registers": registers})
    return _checked(catalog)


def _config(defaults: TopicDefaults) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(defaults.delete_retention_hours * HOUR_MS),
        "max.compaction.lag.ms": str(defaults.max_compaction_lag_hours * HOUR_MS),
        "min.insync.replicas": str(defaults.min_insync_replicas),
    }


def _checked(catalog: Catalog) -> Catalog:
    for code in catalog.agencies:
        if not AGENCY_CODE.fullmatch(code):
            raise CatalogInvalid(
                f"agencies.{code}: an agency code is a letter, two digits and dotted numbers, such as H29.5"
            )
    for register in catalog.registers.values():
        for writer in catalog.writers(register):
            if writer not in catalog.agencies:
                raise CatalogInvalid(f"registers.{register.name}.writers: {writer} is not under [agencies]")
    return catalog
