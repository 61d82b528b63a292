"""Schema files against their rules and against what was released: nothing here reads, asks or writes."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bus.names import RegisterName
from bus.registry.base import Registered
from bus.registry.ledger import canonical
from bus.schema.compatibility import check_compatible
from bus.schema.fields import RegisterSchema


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a file may not be published as it is."""

    register: RegisterName
    version: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.register} v{self.version}: {self.rule}: {self.message}"


def incompatible(files: Sequence[RegisterSchema]) -> Iterator[Finding]:
    """``FULL_TRANSITIVE``: each version against all before it, and each by itself."""
    schemas = [json.loads(file.text) for file in files]
    for file, schema in zip(files, schemas, strict=True):
        for broken in check_compatible(schema, schemas[: file.version - 1]):
            where = f"{broken.path}: " if broken.path else ""
            yield Finding(file.register, file.version, broken.rule, f"{where}{broken.message}")


def changed(
    register: RegisterName, files: Sequence[RegisterSchema], released: Sequence[Registered]
) -> Iterator[Finding]:
    """A released file never changes and never goes: what was written with it is still about."""
    texts = {file.version: file.text for file in files}
    for release in released:
        text = texts.get(release.version)
        if text is None:
            told = f"version {release.version} was released and has no file; bring v{release.version}.avsc back"
            yield Finding(register, release.version, "released_file_gone", told)
        elif canonical(text) != canonical(release.text):
            told = f"differs from what was released; restore it and put the change into v{len(files) + 1}.avsc"
            yield Finding(register, release.version, "released_file_changed", told)


def pending(files: Sequence[RegisterSchema], released: Sequence[Registered]) -> list[RegisterSchema]:
    """Files that are not released yet, in order."""
    there = {canonical(release.text) for release in released}
    return [file for file in files if canonical(file.text) not in there]
