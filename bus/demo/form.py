"""A dossier's form, filled from a replica instead of by the citizen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORM = (
    ("Họ, chữ đệm, tên", "resident.identity", "full_name"),
    ("Ngày sinh", "resident.identity", "birth_date"),
    ("Giới tính", "resident.identity", "sex"),
    ("Quốc tịch", "resident.identity", "nationality"),
    ("Số định danh cá nhân", "resident.identity", "personal_id"),
    ("Nơi thường trú", "resident.residence", "permanent_address"),
    ("Nơi ở hiện tại", "resident.residence", "current_address"),
    ("Tình trạng hôn nhân", "resident.civil_status", "marital_status"),
    ("Số điện thoại", None, "phone"),
)
"""Form field, and the register and field that answer it; no register where only the citizen knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One field of the form: from a register, or still to be asked."""

    label: str
    value: str | None
    source: str | None
    register: str | None
    as_of: str | None


def fill(looked_up: dict[str, Any]) -> Sequence[Answer]:
    """Answer the form from what ``lienthong lookup resident … --json`` gave."""
    held = {(field["register"], field["name"]): field for field in looked_up["fields"]}
    return [_answer(label, held.get((register or "", name))) for label, register, name in FORM]


def _answer(label: str, field: dict[str, Any] | None) -> Answer:
    if field is None or field["value"] is None:
        return Answer(label, None, None, None, None)
    return Answer(label, _text(field["value"]), field["source"], field["register"], field["as_of"])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(str(part) for part in (value["detail"], value["ward_code"], value["province_code"]) if part)
    return str(value)
