"""The envelope: the nine fields around every register's state, the same in every schema and every version."""

import re
from collections.abc import Mapping
from typing import Any

OPS = ("UPSERT", "DELETE", "MERGE")
_TIME = {"type": "long", "logicalType": "timestamp-micros"}
_NONE: dict[str, Any] = {"default": None}

ENVELOPE: Mapping[str, Mapping[str, Any]] = {
    "event_id": {"type": {"type": "string", "logicalType": "uuid"}},
    "op": {"type": {"type": "enum", "name": "Op", "symbols": list(OPS)}},
    "key": {"type": "string"},
    "version": {"type": "long"},
    "source": {"type": "string"},
    "occurred_at": {"type": _TIME},
    "recorded_at": {"type": _TIME},
    "replaced_by": {"type": ["null", "string"], **_NONE},
}
"""Name, type and default of the fields before ``state``, in this order."""
_RECORD_NAME = re.compile("[A-Z][A-Za-z0-9]*")
_NAMESPACE = re.compile(r"vn\.lienthong\.[a-z][a-z0-9_]*")


def check_envelope(raw: Mapping[str, Any]) -> list[str]:
    """What is wrong with the record around the state; field names are those of the schema."""
    fields = [f for f in listed(raw, "fields") if isinstance(f, dict)]
    named = [f.get("name") for f in fields] == [*ENVELOPE, "state"]
    problems = [] if named else [f"fields: the envelope is exactly {', '.join(ENVELOPE)}, state, in this order"]
    for field in fields:
        wanted = ENVELOPE.get(str(field.get("name")))
        if wanted is not None and {k: field[k] for k in ("type", "default") if k in field} != wanted:
            problems.append(f"{field['name']}: the envelope's type and default may not be changed")
    if named:
        problems += _check_state(raw, fields[-1])
    if not _NAMESPACE.fullmatch(str(raw.get("namespace"))):
        problems.append("namespace: must be vn.lienthong.<subject>")
    return problems


def listed(raw: Mapping[str, Any], name: str) -> list[Any]:
    """A list of a schema's, empty where there is something else in its place."""
    found = raw.get(name)
    return found if isinstance(found, list) else []


def register_names(register: str) -> tuple[str, str]:
    """Namespace and record name that belong to a register: ``vn.lienthong.resident``, ``CivilStatus``."""
    subject, _, name = register.partition(".")
    return f"vn.lienthong.{subject}", "".join(word.capitalize() for word in name.split("_"))


def _check_state(raw: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    branches = state.get("type")
    record = branches[1] if isinstance(branches, list) and len(branches) == 2 and branches[0] == "null" else {}
    problems = []
    if not isinstance(record, dict) or record.get("type") != "record" or state.get("default", "") is not None:
        problems.append('state: must be ["null", record] with the default null')
    elif record.get("name") != f"{raw.get('name')}State":
        problems.append(f"state: its record must be named {raw.get('name')}State")
    if not _RECORD_NAME.fullmatch(str(raw.get("name"))):
        problems.append("name: a record's name is an ASCII word in capitals and small letters, such as CivilStatus")
    return problems
