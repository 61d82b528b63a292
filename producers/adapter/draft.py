"""A mapping file to begin with: each of a register's fields from a column of its name, the rules it will want. Pure."""

import json
from collections.abc import Iterator

from bus.schema.agreements import Codes
from bus.schema.fields import Field, Record, RegisterSchema
from producers.columns import Column, columns, derived_from, is_partial_date

SHORT_LIST = 20
"""Of so many codes at most, a list is written out: a source's own codes go in front of them."""
PARTIAL = ["dd/mm/yyyy", "mm/yyyy", "yyyy", "yyyy-mm-dd", "yyyy-mm"]
WHOLE = ["dd/mm/yyyy", "yyyy-mm-dd"]
TIMES = ["yyyyMMddHHmmss", "dd/mm/yyyy HH:mm:ss", "dd/mm/yyyy HH:mm", "iso"]
BY_CHECK = {check: check for check in ("personal_id", "tax_id", "dossier_code")} | {"enterprise_code": "tax_id"}
BY_NAME = {"ward_code": "ward", "personal_id": "personal_id"}
NAMES = {"full_name"}

HEAD = """\
# How the source's columns make the fields of {register}. Every key and rule: docs/cleaning.md.
# The columns here have the fields' names in capitals: write your own behind `from`. A field that you have nothing for
# is deleted, or set to one value: {{ constant = "…" }}. Held against both sides by: lienthong adapter check
register = "{register}"
title = "{title}"

[source]
encoding = "utf-8"          # of the text: utf-8, tcvn3 or vni; declared, never guessed
empty = ["NULL", "-"]       # cells that say nothing
rules = ["text"]            # for every column that does not name its own

[fields]
"""


def column_of(field: str) -> str:
    """Under which name the draft looks for a field: ``PERMANENT_ADDRESS_WARD_CODE``."""
    return field.replace(".", "_").upper()


def draft(schema: RegisterSchema, codes: Codes, title: str) -> str:
    """The mapping file's text: it fits the register, and an export whose columns ``column_of`` names."""
    derived = set(_derived(schema.state, ""))
    known = [each for each in columns(schema).values() if each.name not in derived]
    plain = [line for each in known if not _listed(each, codes) for line in _lines(each)]
    listed = [line for each in known if _listed(each, codes) for line in _table(each, codes)]
    head = HEAD.format(register=schema.register, title=title.replace('"', "'"))
    return head + "\n".join([*plain, *listed]) + "\n"


def _listed(column: Column, codes: Codes) -> bool:
    """Whether its codes are few enough to be written out."""
    return column.field.codes is not None and len(codes[column.field.codes].current) <= SHORT_LIST


def _lines(column: Column) -> Iterator[str]:
    keys = {"from": json.dumps(column_of(column.name)), **dict(_keys(column.field))}
    yield _remark(column)
    if len(keys) == 1:
        yield f"{_key(column)} = {keys['from']}"
    else:
        yield f"{_key(column)} = {{ {', '.join(f'{key} = {value}' for key, value in keys.items())} }}"


def _table(column: Column, codes: Codes) -> Iterator[str]:
    """A table of its own, a line for each code: the source's code stands in front, the bus's behind."""
    yield from ("", _remark(column), f"[fields.{_key(column)}]", f"from = {json.dumps(column_of(column.name))}")
    yield f"[fields.{_key(column)}.codes]"
    for entry in codes[column.field.codes or ""].in_force:
        yield f"{json.dumps(entry.code)} = {json.dumps(entry.code)}   # {entry.name_vi}"


def _remark(column: Column) -> str:
    needed = " Must have a value." if column.required else ""
    return f"# {column.field.doc_vi} / {column.field.doc}{needed}"


def _key(column: Column) -> str:
    return f'"{column.name}"' if "." in column.name else column.name


def _keys(field: Field) -> Iterator[tuple[str, str]]:
    """What a field wants beside its column."""
    checks = {rule.name for rule in field.rules}
    parse = next((BY_CHECK[check] for check in BY_CHECK if check in checks), BY_NAME.get(field.name))
    if is_partial_date(field):
        yield from (("parse", '"date"'), ("formats", json.dumps(PARTIAL)))
    elif field.kind == "date":
        yield from (("parse", '"date"'), ("formats", json.dumps(WHOLE)))
    elif field.kind == "timestamp":
        yield from (("parse", '"timestamp"'), ("formats", json.dumps(TIMES)))
    elif parse:
        yield "parse", json.dumps(parse)
    elif field.name in NAMES:
        yield "rules", '["text", "name"]'


def _derived(record: Record, at: str) -> Iterator[str]:
    """Fields that follow from others, such as how precise a date is."""
    for field in record.fields:
        if field.record:
            yield from _derived(field.record, f"{at}{field.name}.")
        elif derived_from(field, record) is not None:
            yield at + field.name
