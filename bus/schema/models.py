"""Writes the pydantic models of all registers from their schemas: ``bus/models/<subject>.py``.

The rules stay in the schemas: a generated model names its record and asks it. ``python -m bus.schema.models`` in the
project's folder writes the files; a test fails while they are out of date.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

from bus.errors import CatalogInvalid
from bus.schema.avsc import load_all
from bus.schema.fields import Field, Record, RegisterSchema
from bus.schema.state import records

_TYPES = {
    "string": "str",
    "int": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "boolean": "bool",
    "date": "Day",
    "timestamp": "Moment",
}
_NOTE = "Generated from schemas/avro by bus.schema.models: change the schema, then run `python -m bus.schema.models`."


def generate(root: Path) -> dict[Path, str]:
    """The files that belong under ``root``, the project's folder, with their text; newest version of each register."""
    latest = [versions[-1] for versions in load_all(root / "schemas").values()]
    subjects = {subject: list(group) for subject, group in groupby(latest, key=_subject)}
    folder = root / "bus" / "models"
    files = {folder / f"{subject}.py": _module(subject, schemas) for subject, schemas in subjects.items()}
    return {**files, folder / "__init__.py": _index(subjects)}


def stale(root: Path) -> list[Path]:
    """Model files that are missing, differ from what the schemas say, or belong to no register."""
    wanted = generate(root)
    present = {path: path.read_text(encoding="utf-8") for path in (root / "bus" / "models").glob("*.py")}
    return sorted(path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path))


def write(root: Path) -> list[Path]:
    """Bring the files up to date; returns those that changed."""
    wanted, changed = generate(root), stale(root)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return changed


def model_name(schema: RegisterSchema) -> str:
    """``ResidentIdentity`` for ``resident.identity``."""
    return _subject(schema).capitalize() + schema.state.name.removesuffix("State")


def _subject(schema: RegisterSchema) -> str:
    return schema.register.partition(".")[0]


def _module(subject: str, schemas: Iterable[RegisterSchema]) -> str:
    classes: dict[str, str] = {}
    for schema in schemas:
        for record in records(schema.state):
            name, text = _class(schema, record)
            if _body(classes.get(name, text)) != _body(text):
                raise CatalogInvalid(
                    f"{schema.register}: record {name} differs between registers; give one another name"
                )
            classes.setdefault(name, text)
    body = "\n\n".join(classes.values())
    head = f'"""States of the registers about `{subject}`. {_NOTE}"""\n\n'
    shared = ("Day", "Moment", "RegisterState", "StatePart", "record_of")
    used = [name for name in shared if re.search(rf"\b{name}\b", body)]
    return (
        head
        + _IMPORTS
        + f"from bus.schema.state import {', '.join(used)}\n"
        + f"\n__all__ = {_names(classes)}\n\n\n"
        + body
    )


_IMPORTS = """from typing import ClassVar

from pydantic import Field

from bus.names import RegisterName
from bus.schema.fields import Record
"""


def _class(schema: RegisterSchema, record: Record) -> tuple[str, str]:
    whole = record is schema.state
    name = model_name(schema) if whole else record.name
    lines = [
        f"class {name}({'RegisterState' if whole else 'StatePart'}):",
        f'    """{_doc(record.doc, record.doc_vi)}"""',
        "",
    ]
    if whole:
        lines.append(f'    REGISTER: ClassVar[RegisterName] = RegisterName("{schema.register}")')
        lines.append(f"    VERSION: ClassVar[int] = {schema.version}")
    lines.append(f'    RECORD: ClassVar[Record] = record_of("{schema.register}", {schema.version}, "{record.name}")')
    return name, "\n".join([*lines, "", *(line for field in record.fields for line in _field(field))]) + "\n"


def _body(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if "record_of(" not in line)


def _field(field: Field) -> list[str]:
    arguments = [f"default={'()' if field.default == [] else None}"] if field.has_default else []
    if field.kind == "array":
        arguments.append("strict=False")  # a list is welcome where a tuple is kept
    arguments.append(f'json_schema_extra={{"pii": "{field.pii}"}}')
    kind = _annotation(field)
    return [f"    {field.name}: {kind} = Field({', '.join(arguments)})", f'    """{_doc(field.doc, field.doc_vi)}"""']


def _annotation(field: Field) -> str:
    if field.record:
        kind = field.record.name
    elif field.items:
        kind = f"tuple[{_annotation(field.items.fields[0])}, ...]"
    else:
        kind = _TYPES[field.kind]
    return f"{kind} | None" if field.nullable else kind


def _doc(doc: str, doc_vi: str) -> str:
    return f"{doc} / {doc_vi}".replace("\\", "\\\\").replace('"', "'")


def _index(subjects: Mapping[str, list[RegisterSchema]]) -> str:
    lines = [f'"""One frozen pydantic model per register state. {_NOTE}"""', "", "from bus.names import RegisterName"]
    for subject, schemas in subjects.items():
        lines.append(f"from bus.models.{subject} import {', '.join(sorted(map(model_name, schemas)))}")
    models = [schema for schemas in subjects.values() for schema in schemas]
    lines += ["from bus.schema.state import RegisterState", "", "MODELS: dict[RegisterName, type[RegisterState]] = {"]
    lines += [f'    RegisterName("{schema.register}"): {model_name(schema)},' for schema in models]
    return "\n".join(
        [*lines, "}", '"""By register."""', "", f"__all__ = {_names(['MODELS', *map(model_name, models)])}", ""]
    )


def _names(names: Iterable[str]) -> str:
    return "[\n" + "".join(f'    "{name}",\n' for name in sorted(names)) + "]"


def main() -> None:
    for path in write(Path.cwd()):
        sys.stdout.write(f"{path.name} written\n")


if __name__ == "__main__":
    main()
