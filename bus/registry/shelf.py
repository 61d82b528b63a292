"""What a registry has said, kept on disk, so that a process that starts while the registry is away can work."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from bus.names import SchemaId
from bus.registry.base import Registered, Schema
from bus.registry.records import record_schema

log = structlog.get_logger(__name__)

DEFAULT_FOLDER = "~/.cache/lienthong/schemas"


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class _Text(_Page):
    schema_id: int
    text: str


class _Version(_Page):
    version: int
    schema_id: int
    text: str


class _Subject(_Page):
    avro_subject: str
    versions: tuple[_Version, ...]


class _Registry(_Page):
    address: str
    identity: str


Page = TypeVar("Page", bound=_Page)


class Shelf:
    """A folder with a folder per registry. A file that does not read back as what it should hold is not there.

    Files have mode 0600 and are replaced whole. A folder that cannot be written is told once in the log, and nothing is
    kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(os.path.expanduser(DEFAULT_FOLDER))  # noqa: PTH111 - never raises, without a home too
        self._complained = False

    def schema(self, identity: str, schema_id: SchemaId) -> Schema | None:
        page = self._read(self._schema(identity, schema_id), _Text)
        return record_schema(page.text) if page and page.schema_id == schema_id else None

    def keep_schema(self, identity: str, schema_id: SchemaId, text: str) -> None:
        """An id means one schema for ever, so that what is there stays."""
        if self.schema(identity, schema_id) is None:
            self._write(self._schema(identity, schema_id), _Text(schema_id=schema_id, text=text))

    def versions(self, identity: str, avro_subject: str) -> tuple[Registered, ...] | None:
        page = self._read(self._subject(identity, avro_subject), _Subject)
        if page is None or page.avro_subject != avro_subject or any(not record_schema(v.text) for v in page.versions):
            return None
        return tuple(Registered(avro_subject, v.version, SchemaId(v.schema_id), v.text) for v in page.versions)

    def keep_versions(self, identity: str, avro_subject: str, versions: Sequence[Registered]) -> None:
        kept = tuple(_Version(version=v.version, schema_id=v.schema_id, text=v.text) for v in versions)
        if self.versions(identity, avro_subject) != tuple(versions):
            self._write(self._subject(identity, avro_subject), _Subject(avro_subject=avro_subject, versions=kept))

    def identity(self, address: str) -> str | None:
        """Which registry this address led to when it last answered."""
        page = self._read(self._address(address), _Registry)
        return page.identity if page and page.address == address else None

    def keep_identity(self, address: str, identity: str) -> None:
        if self.identity(address) != identity:
            self._write(self._address(address), _Registry(address=address, identity=identity))

    def _of(self, identity: str) -> Path:
        return self._folder / _name(identity)

    def _schema(self, identity: str, schema_id: SchemaId) -> Path:
        return self._of(identity) / f"{schema_id}.json"

    def _subject(self, identity: str, avro_subject: str) -> Path:
        return self._of(identity) / f"subject-{_name(avro_subject)}.json"

    def _address(self, address: str) -> Path:
        return self._folder / f"address-{_name(address)}.json"

    def _read(self, path: Path, page: type[Page]) -> Page | None:
        try:
            return page.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write(self, path: Path, page: _Page) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(path, page.model_dump_json().encode())
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("schema_cache_not_written", folder=str(self._folder), error=error.strerror)


def _replace(path: Path, content: bytes) -> None:
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(beside).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(beside).unlink()
        raise


def _name(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]
