"""Schemas as their authors change them, made from the shipped ones."""

import json
from typing import Any

from bus.schema.avsc import load_register


def schema_text(register: str = "code.ward") -> str:
    return load_register(register)[-1].text


def with_field(text: str, name: str, **attributes: Any) -> str:
    """The next version: one more field in the state; compatible both ways, because it may be missing."""
    field = {
        "name": name,
        "type": ["null", "string"],
        "default": None,
        "doc": "More.",
        "doc_vi": "Thêm.",
        "pii": "none",
    }
    schema = json.loads(text)
    _state(schema)["fields"].append({**field, **attributes})
    return json.dumps(schema, ensure_ascii=False)


def without_default(text: str, name: str) -> str:
    """A next version that breaks ``FULL_TRANSITIVE``: its new field has to be there in events that never had it."""
    schema = json.loads(with_field(text, name, type="string"))
    del _state(schema)["fields"][-1]["default"]
    return json.dumps(schema, ensure_ascii=False)


def _state(schema: dict[str, Any]) -> dict[str, Any]:
    (state,) = [field for field in schema["fields"] if field["name"] == "state"]
    return state["type"][-1]
