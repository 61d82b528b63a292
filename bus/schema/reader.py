"""Reads one schema file into values and collects everything that is wrong with it."""

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from pydantic import BaseModel

from bus.schema.agreements import AGREEMENTS, BoundAgreement
from bus.schema.checks import CHECKS, Rule
from bus.schema.codes import CodeList
from bus.schema.envelope import check_envelope, listed
from bus.schema.fields import PII_CLASSES, Field, Kind, Record
from bus.schema.rules import (
    check_rule,
    codes_rule,
    finite_rule,
    int_rule,
    max_length_rule,
    maximum_rule,
    minimum_rule,
    pattern_rule,
)

_SIMPLE: Mapping[tuple[str, str | None], Kind] = {
    ("string", None): "string",
    ("string", "uuid"): "string",
    ("int", None): "int",
    ("long", None): "long",
    ("float", None): "float",
    ("double", None): "double",
    ("boolean", None): "boolean",
    ("int", "date"): "date",
    ("long", "timestamp-micros"): "timestamp",
}
_ATTRIBUTES = {"name", "type", "doc", "doc_vi", "pii", "default", "aliases"}
_RULES = {"pattern", "hint", "codes", "check", "minimum", "maximum", "max_length"}
_FIELD_NAME = re.compile("[a-z][a-z0-9_]{0,59}")
_AGREEMENT = re.compile(r"([a-z_]+)\(([a-z0-9_, ]+)\)")
# Python and Rust read these differently, or only one of them reads them at all.
_UNPORTABLE = re.compile(
    r"\\[^.\-\[\](){}|*+?/^$\\]"  # classes such as \d mean other scripts' digits too; escapes differ
    r"|(?<!\\)[$^](?![^\[]*\])|\(\?(?!:)|[*+?}]\+|\{,|&&|--|~~|\[[^\]]*\["
)


class SchemaReader:
    """One pass over a schema; ``problems`` is what has to be corrected, each with the field's path."""

    def __init__(self, codes: Mapping[str, CodeList]) -> None:
        self.problems: list[str] = []
        self._codes = codes
        self._named: dict[str, Record] = {}

    def read(self, raw: Mapping[str, Any]) -> Record | None:
        """The state record, or nothing where the schema has none."""
        self.problems += check_envelope(raw)
        for field in listed(raw, "fields"):
            if isinstance(field, dict):
                self._documented(field, f"{field.get('name', '?')}")
        state = next((f for f in listed(raw, "fields") if isinstance(f, dict) and f.get("name") == "state"), {})
        branches = state.get("type")
        record = branches[-1] if isinstance(branches, list) and branches else None
        if not isinstance(record, dict) or record.get("type") != "record":
            return None
        return self._record(record, "state")

    def _record(self, raw: Mapping[str, Any], at: str) -> Record:
        name = str(raw.get("name", "?"))
        self._told_twice(raw, at)
        fields = tuple(self._field(f, at) for f in listed(raw, "fields") if isinstance(f, dict))
        names = [field.name for field in fields]
        self._refuse(not fields, at, "a record needs fields")
        self._refuse(len(names) != len(set(names)), at, "two fields have the same name")
        agreements = tuple(a for text in listed(raw, "checks") if (a := self._agreement(text, fields, at)))
        record = Record(
            name=name, doc=raw.get("doc", ""), doc_vi=raw.get("doc_vi", ""), fields=fields, agreements=agreements
        )
        self._refuse(name in self._named, at, f"record name {name} is taken; name the type once and refer to it")
        self._named[name] = record
        return record

    def _field(self, raw: Mapping[str, Any], parent: str) -> Field:
        name = str(raw.get("name", "?"))
        at = f"{parent}.{name}"
        self._documented(raw, at)
        reserved = hasattr(BaseModel, name) or name.startswith("model_")
        self._refuse(
            not _FIELD_NAME.fullmatch(name), at, "a name is lower case ASCII: [a-z][a-z0-9_]*, 60 letters at most"
        )
        self._refuse(reserved, at, "this name is reserved in Python models; choose another")
        unknown = sorted(set(raw) - _ATTRIBUTES - _RULES)
        self._refuse(bool(unknown), at, f"unknown attribute {', '.join(unknown)}; correct or remove it")
        # Polars' Avro reader rejects a whole file for any other default in its schema.
        self._refuse(raw.get("default") not in (None, []), at, "a default is null or []; make the field optional")
        return self._typed(raw, name, at)

    def _typed(self, raw: Mapping[str, Any], name: str, at: str) -> Field:
        avro, nullable = self._nullable(raw, at)
        record = items = None
        kind: Kind = "string"
        if isinstance(avro, str) and avro.rpartition(".")[2] in self._named:
            kind, record = "record", self._named[avro.rpartition(".")[2]]
        elif isinstance(avro, dict) and avro.get("type") == "record":
            kind, record = "record", self._record(avro, at)
        elif isinstance(avro, dict) and avro.get("type") == "array":
            kind, items = "array", self._items(avro, raw, at)
        else:
            kind = self._simple(avro, at)
        return Field(
            name=name,
            kind=kind,
            avro=raw.get("type"),
            nullable=nullable,
            has_default="default" in raw,
            default=raw.get("default"),
            doc=raw.get("doc", ""),
            doc_vi=raw.get("doc_vi", ""),
            pii=raw["pii"] if raw.get("pii") in PII_CLASSES else "sensitive",
            rules=() if kind == "array" else self._rules(raw, kind, at),
            codes=raw.get("codes"),
            record=record,
            items=items,
        )

    def _nullable(self, raw: Mapping[str, Any], at: str) -> tuple[Any, bool]:
        avro = raw.get("type")
        if not isinstance(avro, list):
            return avro, False
        self._refuse(len(avro) != 2 or avro[0] != "null", at, 'a union is ["null", type]')
        self._refuse("default" not in raw or raw["default"] is not None, at, "an optional field has the default null")
        return avro[-1] if avro else None, True

    def _items(self, avro: Mapping[str, Any], raw: Mapping[str, Any], at: str) -> Record:
        """The items as a record with one field without a name; rules beside an array of scalars hold for each item."""
        rules = {k: v for k, v in raw.items() if k in _RULES}
        item = self._typed({"type": avro.get("items"), "pii": raw.get("pii"), **rules}, "", f"{at}[]")
        return Record(name="", doc="", doc_vi="", fields=(item,))

    def _simple(self, avro: Any, at: str) -> Kind:
        base = avro if isinstance(avro, dict) else {"type": avro}
        logical = base.get("logicalType")
        kind = _SIMPLE.get((str(base.get("type")), logical if logical is None else str(logical)))
        supported = "string, int, long, float, double, boolean, date, timestamp-micros, a record or an array"
        self._refuse(kind is None, at, f"type not supported; use {supported} (code lists are strings with `codes`)")
        return kind or "string"

    def _rules(self, raw: Mapping[str, Any], kind: Kind, at: str) -> tuple[Rule, ...]:
        """In a fixed order: what a person can correct most easily is told first."""
        made: list[Rule | None] = [
            int_rule() if kind == "int" else None,
            finite_rule() if kind in ("float", "double") else None,
            self._rule(raw, "pattern", kind, {"string"}, at, lambda p: self._pattern(p, raw.get("hint"), at)),
            self._rule(
                raw, "check", kind, {"string"}, at, lambda name: check_rule(name) if _is_in(name, CHECKS) else None
            ),
            self._rule(
                raw,
                "codes",
                kind,
                {"string"},
                at,
                lambda name: codes_rule(self._codes[name]) if _is_in(name, self._codes) else None,
            ),
            self._rule(raw, "minimum", kind, {"int", "long", "float", "double"}, at, _number(minimum_rule)),
            self._rule(raw, "maximum", kind, {"int", "long", "float", "double"}, at, _number(maximum_rule)),
            self._rule(
                raw, "max_length", kind, {"string"}, at, lambda n: max_length_rule(n) if isinstance(n, int) else None
            ),
        ]
        return tuple(rule for rule in made if rule)

    def _rule(
        self,
        raw: Mapping[str, Any],
        attribute: str,
        kind: Kind,
        fits: set[str],
        at: str,
        make: Callable[[Any], Rule | None],
    ) -> Rule | None:
        if attribute not in raw:
            return None
        self._refuse(kind not in fits, at, f"{attribute} does not go with type {kind}")
        rule = make(raw[attribute])
        self._refuse(rule is None, at, f"{attribute} {raw[attribute]!r} does not exist or cannot be used")
        return rule

    def _pattern(self, pattern: Any, hint: Any, at: str) -> Rule | None:
        self._refuse(not hint, at, "a pattern needs a hint that says in words what is expected")
        return pattern_rule(pattern, str(hint)) if isinstance(pattern, str) and portable(pattern) else None

    def _agreement(self, text: Any, fields: tuple[Field, ...], at: str) -> BoundAgreement | None:
        match = _AGREEMENT.fullmatch(str(text))
        agreement = AGREEMENTS.get(match[1]) if match else None
        if match is None or agreement is None:
            self.problems.append(
                f"{at}: check {text!r} does not exist; write name(field,field) with one of {', '.join(AGREEMENTS)}"
            )
            return None
        names = tuple(name.strip() for name in match[2].split(","))
        kinds = {field.name: field.kind for field in fields if field.scalar}
        given = [kinds.get(name) for name in names]
        alike = {kind for kind, wanted in zip(given, agreement.kinds, strict=False) if wanted == "same"}
        fits = len(given) == len(agreement.kinds) and None not in given and len(alike) < 2
        exact = all(wanted in ("same", kind) for kind, wanted in zip(given, agreement.kinds, strict=False))
        if not fits or not exact:
            self.problems.append(
                f"{at}: check {text!r} needs {len(agreement.kinds)} fields of this record: {', '.join(agreement.kinds)}"
            )
            return None
        return agreement.bind(names, self._codes)

    def _documented(self, raw: Mapping[str, Any], at: str) -> None:
        self._told_twice(raw, at)
        self._refuse(raw.get("pii") not in PII_CLASSES, at, f"pii is missing; one of {', '.join(PII_CLASSES)}")

    def _told_twice(self, raw: Mapping[str, Any], at: str) -> None:
        for attribute, language in (("doc", "English"), ("doc_vi", "Vietnamese")):
            said = raw.get(attribute)
            self._refuse(
                not isinstance(said, str) or not said.strip(),
                at,
                f"{attribute} is missing: say in {language} what it is",
            )

    def _refuse(self, broken: bool, at: str, what: str) -> None:
        if broken:
            self.problems.append(f"{at}: {what}")


def portable(pattern: str) -> bool:
    """Whether a pattern means the same in Python's ``re`` and in Rust's ``regex``."""
    if not pattern.isascii() or _UNPORTABLE.search(pattern):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # Python warns of set notation, which Rust already reads
            re.compile(pattern)
        pl.Series([""]).str.contains(rf"\A(?:{pattern})\z")
    except (re.error, RecursionError, OverflowError, ValueError, FutureWarning, pl.exceptions.PolarsError):
        return False
    return True


def _is_in(name: Any, known: Mapping[str, Any]) -> bool:
    return isinstance(name, str) and name in known


def _number(make: Callable[[float], Rule]) -> Callable[[Any], Rule | None]:
    return lambda limit: make(limit) if isinstance(limit, int | float) and not isinstance(limit, bool) else None
