"""A mapping file held against its register: each field with its columns and the rules that it will go through."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bus.errors import ConfigInvalid
from bus.schema.agreements import Codes
from bus.schema.fields import RegisterSchema
from producers.cleaning.codes import codes, default
from producers.cleaning.dates import COMMON, COMMON_TIMES, dates, timestamps
from producers.cleaning.fonts import Encoding, decoding
from producers.cleaning.rule import Rule
from producers.cleaning.rules import CLEANERS, PARSERS
from producers.cleaning.wards import ward
from producers.columns import Column, columns, nearest
from producers.mapping.document import KEYS, FieldRule, MappingFile, SourceForm

KINDS = {"timestamp": {"timestamp"}, "date": {"date", "string"}, "number_vi": {"int", "long", "float", "double"}}


@dataclass(frozen=True, slots=True)
class Target:
    """One field of the register and how it is made."""

    name: str
    columns: tuple[str, ...]
    separator: str
    constant: str | None
    empty: tuple[str, ...]
    rules: tuple[Rule, ...]
    says_new_ward: bool
    """Its second column says which new ward an old one became."""
    siblings: tuple[tuple[str, str], ...]
    """Fields that its rules fill beside it: (as the rule calls it, as the register does)."""


def bind(file: MappingFile, schema: RegisterSchema, lists: Codes, name: str) -> tuple[Target, ...]:
    """In the register's order. Raises ConfigInvalid with file, key and remedy where the two do not fit."""
    if file.register_name != schema.register:
        raise ConfigInvalid(
            f"{name}: register: is {file.register_name}, not {schema.register}; use the mapping made for it"
        )
    known = columns(schema)
    for field in file.fields:
        whole, _, key = field.rpartition(".")
        if field not in known and whole in known:
            raise ConfigInvalid(f"{name}: fields.{whole}.{key}: no such key; known are {', '.join(sorted(KEYS))}")
        if field not in known:
            raise ConfigInvalid(f"{name}: fields.{field}: {schema.register} has no such field; {nearest(field, known)}")
    missing = [each.name for each in known.values() if each.required and each.name not in file.fields]
    if missing:
        raise ConfigInvalid(
            f"{name}: fields.{missing[0]}: missing; {schema.register} cannot be without it: map a column, or a constant"
        )
    made = [_target(file, column, lists, name) for column in known.values() if column.name in file.fields]
    return tuple(_alone(made, known, name))


def _target(file: MappingFile, column: Column, lists: Codes, name: str) -> Target:
    given = file.fields[column.name]
    where = f"{name}: fields.{column.name}"
    _check_codes(given, column, lists, where)
    _check_kind(given, column, where)
    rules = tuple(_rules(given, file.source, column, lists))
    return Target(
        name=column.name,
        columns=given.columns,
        separator=given.separator,
        constant=given.constant,
        empty=file.source.empty,
        rules=rules,
        says_new_ward=given.parse == "old_ward" and len(given.columns) > 1,
        siblings=tuple((each, _beside(column.name, each)) for rule in rules for each in rule.also),
    )


def _rules(given: FieldRule, source: SourceForm, column: Column, lists: Codes) -> Iterator[Rule]:
    if given.constant is not None:
        return
    yield from decoding(given.encoding or source.encoding)
    if not column.field.items:  # a list is JSON, whose blanks are nobody's
        for name in source.rules if given.rules is None else given.rules:
            yield from CLEANERS[name]
    if given.codes:
        yield codes(given.codes, given.otherwise, f"fields.{column.name}.codes")
    elif given.parse == "date":
        yield dates(given.formats or COMMON, partial=column.field.kind == "string")
    elif given.parse == "timestamp":
        yield timestamps(given.formats or COMMON_TIMES)
    elif given.parse == "ward" and "ward" in lists:
        yield ward(lists["ward"])
    elif given.parse:
        yield from PARSERS[given.parse]
    if given.default is not None:
        yield default(given.default)


def _check_codes(given: FieldRule, column: Column, lists: Codes, where: str) -> None:
    if column.field.codes is None:
        return
    allowed = lists[column.field.codes].current
    told = [
        ("constant", given.constant),
        ("default", given.default),
        ("otherwise", given.otherwise),
        *(("codes", to) for to in given.codes.values()),
    ]
    for key, code in told:
        if code is not None and code not in allowed:
            shown = ", ".join(sorted(allowed)) if len(allowed) <= 20 else f"those of {lists[column.field.codes].place}"
            raise ConfigInvalid(f"{where}.{key}: {code} is not in the list {column.field.codes}; codes are {shown}")


def _check_kind(given: FieldRule, column: Column, where: str) -> None:
    kinds = KINDS.get(given.parse or "", {"string"} if given.parse else None)
    if kinds and column.field.kind not in kinds:
        raise ConfigInvalid(
            f"{where}.parse: {given.parse} makes {' or '.join(sorted(kinds))}, and the field is {column.field.kind}; "
            "leave parse out, or choose another"
        )
    if column.field.items and (given.rules or given.codes):
        raise ConfigInvalid(f"{where}: a list is taken as JSON; leave rules and codes out")


def _alone(made: list[Target], known: dict[str, Column], name: str) -> Iterator[Target]:
    """Fields filled beside another only where the file does not map them itself."""
    mapped = {target.name for target in made}
    for target in made:
        for rule, field in target.siblings:
            if field not in known:
                raise ConfigInvalid(f"{name}: fields.{target.name}.parse: the register has no {rule} beside it")
        free = tuple(each for each in target.siblings if each[1] not in mapped)
        yield replace(target, siblings=free)


def _beside(field: str, name: str) -> str:
    return f"{field.rpartition('.')[0]}.{name}".lstrip(".")


def encodings(file: MappingFile) -> frozenset[Encoding]:
    """All that are declared anywhere: a column's name may be in any of them."""
    return frozenset({file.source.encoding, *(each.encoding for each in file.fields.values() if each.encoding)})
