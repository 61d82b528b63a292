"""A schemas folder in which one register has a next version."""

import json
import shutil
from pathlib import Path
from typing import Any

from bus.schema.folder import schemas_folder


def with_next_version(directory: Path, register: str, *added: dict[str, Any]) -> Path:
    """The shipped schemas of one register under ``directory``, and a v2 whose state has these fields more."""
    subject, name = register.split(".")
    place = Path("avro") / subject / name
    shutil.copytree(str(schemas_folder() / str(place)), directory / place)
    schema = json.loads((directory / place / "v1.avsc").read_text(encoding="utf-8"))
    state = next(field for field in schema["fields"] if field["name"] == "state")
    state["type"][1]["fields"] += added
    (directory / place / "v2.avsc").write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")
    return directory


EMAIL = {
    "name": "email",
    "type": ["null", "string"],
    "default": None,
    "doc": "E-mail address.",
    "doc_vi": "Thư điện tử.",
    "pii": "personal",
    "check": "text",
}
