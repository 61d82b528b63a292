"""Finds and loads the registers' schemas: ``schemas/avro/<subject>/<register>/v<version>.avsc``."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any, cast

import fastavro

from bus.errors import CatalogInvalid, RegisterUnknown
from bus.names import RegisterName
from bus.schema.codes import CodeList, load_codes
from bus.schema.envelope import register_names
from bus.schema.fields import RegisterSchema
from bus.schema.folder import schemas_folder
from bus.schema.reader import SchemaReader

_REGISTER = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_FILE = re.compile(r"v([1-9][0-9]*)\.avsc")


def load_register(
    register: str, root: Traversable | None = None, codes: Mapping[str, CodeList] | None = None
) -> tuple[RegisterSchema, ...]:
    """All versions of a register's schema, ascending, from the package or another ``schemas`` folder.

    Its rules allow the codes in force of ``codes``, by default of the lists beside the schemas. Raises
    ``RegisterUnknown`` where there is no schema, ``CatalogInvalid`` with file and field where one is wrong.
    """
    return _shipped(register) if root is None and codes is None else _load(register, root or schemas_folder(), codes)


def load_all(root: Traversable | None = None) -> dict[RegisterName, tuple[RegisterSchema, ...]]:
    """Every register that has a schema, by name."""
    subjects = _folders((root or schemas_folder()) / "avro")
    names = [f"{subject.name}.{register.name}" for subject in subjects for register in _folders(subject)]
    return {RegisterName(name): load_register(name, root) for name in names}


def read_schema(text: str, register: str, version: int, codes: Mapping[str, CodeList], file: str) -> RegisterSchema:
    """One schema from its file's text. Raises ``CatalogInvalid`` with file and field."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:  # beside what is no JSON: too many digits, too deep
        raise CatalogInvalid(f"{file}: not JSON: {error}") from error
    problems, state = _problems(raw, register, codes)
    if problems or state is None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CatalogInvalid(f"{file}: {(problems or ['state: missing'])[0]}{more}")
    try:
        parsed = cast("dict[str, Any]", fastavro.parse_schema(raw))
    except Exception as error:  # beside its own: KeyError, UnknownType, …, as in codec.parse
        raise CatalogInvalid(f"{file}: not an Avro schema: {type(error).__name__}: {str(error)[:200]}") from error
    published = json.dumps(raw, ensure_ascii=False, separators=(",", ":"))
    return RegisterSchema(register=RegisterName(register), version=version, text=published, parsed=parsed, state=state)


def check_style(schema: Mapping[str, Any], codes: Mapping[str, CodeList] | None = None) -> list[str]:
    """Everything that keeps a schema from being loaded, field by field; empty if it is fine.

    The envelope, docs in both languages, pii classes, types, rules that exist and mean the same in both engines.
    """
    reader = SchemaReader(load_codes() if codes is None else codes)
    reader.read(schema)
    return reader.problems


def _problems(raw: Any, register: str, codes: Mapping[str, CodeList]) -> tuple[list[str], Any]:
    if not isinstance(raw, dict):
        return ["a schema is one JSON object, a record"], None
    reader = SchemaReader(codes)
    state = reader.read(raw)
    names = raw.get("namespace"), raw.get("name")
    wanted = register_names(register)
    wrong = [] if names == wanted else [f"name: {register} is the record {'.'.join(wanted)}"]
    return wrong + reader.problems, state


@cache
def _shipped(register: str) -> tuple[RegisterSchema, ...]:
    return _load(register, schemas_folder())


def _load(register: str, root: Traversable, codes: Mapping[str, CodeList] | None = None) -> tuple[RegisterSchema, ...]:
    subject, _, name = register.partition(".")
    folder = root / "avro" / subject / name
    if not _REGISTER.fullmatch(register) or not folder.is_dir():
        raise RegisterUnknown(f"{register}: no such register; the schemas hold {', '.join(_known(root)) or 'none'}")
    codes = codes or load_codes(root if (root / "codes").is_dir() else None)
    files = sorted((int(match[1]), file) for file in folder.iterdir() if (match := _FILE.fullmatch(file.name)))
    if [version for version, _ in files] != list(range(1, len(files) + 1)) or not files:
        raise CatalogInvalid(f"{register}: schema files must be v1.avsc, v2.avsc, … without a gap")
    return tuple(
        read_schema(file.read_text(encoding="utf-8"), register, version, codes, f"{subject}/{name}/{file.name}")
        for version, file in files
    )


def _known(root: Traversable) -> list[str]:
    return [f"{subject.name}.{register.name}" for subject in _folders(root / "avro") for register in _folders(subject)]


def _folders(folder: Traversable) -> list[Traversable]:
    return sorted((f for f in folder.iterdir() if f.is_dir()), key=lambda f: f.name) if folder.is_dir() else []
