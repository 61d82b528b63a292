"""A source's mapping: from a frame of its text columns to a register's, cleaned, with account of every change. Pure."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import polars as pl

from bus.errors import ConfigInvalid
from bus.names import RegisterName
from bus.schema.agreements import Codes
from bus.schema.codes import load_codes
from bus.schema.fields import RegisterSchema
from producers.cleaning import Account, clean
from producers.cleaning.dossier_codes import DATE_DIFFERS, date_differs
from producers.cleaning.fonts import decode
from producers.cleaning.wards import SAYS
from producers.columns import nearest
from producers.mapping.binding import Target, bind, encodings
from producers.mapping.document import MappingFile, SourceForm
from producers.mapping.reading import parse_mapping, read_mapping

CHANGES = pl.Schema(
    {"row": pl.Int64(), "field": pl.String(), "from": pl.String(), "to": pl.String(), "rule": pl.String()}
)
REVIEWS = pl.Schema(
    {"row": pl.Int64(), "field": pl.String(), "value": pl.String(), "reason": pl.String(), "expected": pl.String()}
)
REFUSED = pl.Schema({"row": pl.Int64(), "field": pl.String(), "reason": pl.String(), "expected": pl.String()})
CODE, RECEIVED = "dossier_code", "received_at"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Rows as the register has them, all columns text, and what was done to them."""

    frame: pl.DataFrame
    """Columns named as the register's fields, those inside records with dots, lists as JSON; in the rows' order."""
    changes: pl.DataFrame
    """Columns of CHANGES, one row per changed value and rule. Holds values of the data."""
    reviews: pl.DataFrame
    """Columns of REVIEWS: values that go out and that somebody should look at. Holds values of the data."""
    refused: pl.DataFrame
    """Columns of REFUSED, no values: fields that could not be read, null in ``frame``. Their rows must not go out."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Fits its register once it is loaded, and a source once that has been checked."""

    name: str
    text: str
    """What it says, for whoever has to know whether it still says the same."""
    register: RegisterName
    source: SourceForm
    targets: tuple[Target, ...]
    file: MappingFile

    @classmethod
    def load(cls, path: str | Path, schema: RegisterSchema, codes: Codes | None = None) -> Self:
        """Raises ConfigInvalid with file, key and remedy, such as for an unknown rule or a code outside its list.

        ``codes`` are the lists to hold it against, the shipped ones by default.
        """
        file, text = read_mapping(Path(path))
        return cls._bound(file, text, schema, str(path), codes)

    @classmethod
    def of(cls, raw: dict[str, Any], schema: RegisterSchema, name: str = "mapping", codes: Codes | None = None) -> Self:
        """The same from the file's content."""
        return cls._bound(parse_mapping(raw, name), repr(raw), schema, name, codes)

    @classmethod
    def _bound(cls, file: MappingFile, text: str, schema: RegisterSchema, name: str, codes: Codes | None) -> Self:
        return cls(name, text, schema.register, file.source, bind(file, schema, codes or load_codes(), name), file)

    def knows(self, columns: Iterable[str]) -> bool:
        """Whether any of these is a column of the source."""
        found = self._found(list(columns))
        return any(name in found for target in self.targets for name in target.columns)

    def check(self, columns: Iterable[str], source: str = "the source") -> tuple[str, ...]:
        """The source's columns that no field is made of. Raises ConfigInvalid where one is missing or ambiguous."""
        given = list(columns)
        found = self._found(given)
        for target in self.targets:
            for name in target.columns:
                if name not in found:
                    raise ConfigInvalid(
                        f"{self.name}: fields.{target.name}.from: {source} has no column {name}; {nearest(name, given)}"
                    )
                if len(found[name]) > 1:
                    raise ConfigInvalid(
                        f"{self.name}: fields.{target.name}.from: {source} has column {name} {len(found[name])} times; "
                        "keep one of them"
                    )
        used = {found[name][0] for target in self.targets for name in target.columns}
        return tuple(name for name in given if name not in used)

    def apply(self, frame: pl.DataFrame, rows: pl.Series | None = None) -> Cleaned:
        """Clean a frame of text columns; null and the empty string are empty cells.

        ``rows`` are the numbers by which the account names the rows, by default from 0 on. What ``check`` would
        refuse is refused here too.
        """
        self.check(frame.columns)
        numbers = (pl.int_range(frame.height, eager=True) if rows is None else rows).cast(pl.Int64).rename("row")
        found = self.places(frame.columns)
        accounts = [(target, clean(_raw(target, frame, found), target.rules)) for target in self.targets]
        made = {target.name: account.values.alias(target.name) for target, account in accounts}
        for target, account in accounts:
            made |= {field: account.also[rule].alias(field) for rule, field in target.siblings}
        cleaned = pl.DataFrame(list(made.values()))
        return Cleaned(
            frame=cleaned,
            changes=_told(CHANGES, "changes", accounts, numbers),
            reviews=pl.concat([_told(REVIEWS, "reviews", accounts, numbers), _between_fields(cleaned, numbers)]),
            refused=_told(REFUSED, "refused", accounts, numbers),
        )

    def places(self, columns: Iterable[str]) -> dict[str, str]:
        """Each column that the mapping names, as the source calls it; those that the source lacks are left out."""
        return {name: found[0] for name, found in self._found(list(columns)).items()}

    def columns_of(self, field: str) -> tuple[str, ...]:
        """The source's columns that a field is made of."""
        names = {
            name: target.columns for target in self.targets for name in (target.name, *dict(target.siblings).values())
        }
        return names.get(field, ())

    def _found(self, given: list[str]) -> dict[str, list[str]]:
        """Each column of the mapping with those of the source that bear its name, as it stands or decoded."""
        wanted = {name for target in self.targets for name in target.columns}
        plain = {name: [each for each in given if _tidy(each) == _tidy(name)] for name in wanted}
        decoded = {each: {_tidy(decode(each, encoding)) for encoding in encodings(self.file)} for each in given}
        return {
            name: columns or [each for each in given if _tidy(name) in decoded[each]]
            for name, columns in plain.items()
            if columns or any(_tidy(name) in names for names in decoded.values())
        }


def _tidy(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _raw(target: Target, frame: pl.DataFrame, found: dict[str, str]) -> pl.Series:
    """What the source says of a field, before any rule; null where it says nothing."""
    if target.constant is not None:
        return pl.Series([target.constant], dtype=pl.String).new_from_index(0, frame.height)
    silent = ["", *target.empty]
    cells = [pl.col(found[name]).cast(pl.String) for name in target.columns]
    said = [pl.when(~cell.str.strip_chars().is_in(silent)).then(cell) for cell in cells]
    joined = _joined(said, target)
    return frame.select(pl.when(joined != "").then(joined).alias("value")).to_series()


def _joined(said: Sequence[pl.Expr], target: Target) -> pl.Expr:
    if target.says_new_ward:  # an empty first column keeps its place: the second one's codes mean other wards
        old, new = said
        both = pl.concat_str(old, pl.lit(SAYS), new, separator=" ", ignore_nulls=True)
        return pl.when(new.is_null()).then(old).otherwise(both)
    return pl.concat_str(said, separator=target.separator, ignore_nulls=True) if len(said) > 1 else said[0]


def _told(schema: pl.Schema, part: str, accounts: list[tuple[Target, Account]], rows: pl.Series) -> pl.DataFrame:
    """One part of all fields' accounts, in the rows' order, by the rows' own numbers."""
    parts: list[tuple[pl.DataFrame, pl.Series, str]] = [
        (getattr(account, part), rows.gather(getattr(account, part)["place"]), target.name)
        for target, account in accounts
        if getattr(account, part).height
    ]
    told = [
        each.with_columns(numbers.alias("row"), pl.lit(field).alias("field")).select(schema.names())
        for each, numbers, field in parts
    ]
    return pl.concat([schema.to_frame(), *told]).sort("row", maintain_order=True)


def _between_fields(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Doubts that need two fields to see. What must agree, the register's own rules say."""
    if CODE not in frame.columns or RECEIVED not in frame.columns:
        return REVIEWS.to_frame()
    reason, expected = DATE_DIFFERS
    differing = (
        frame.select(rows, pl.col(CODE), pl.col(RECEIVED))
        .filter(date_differs(pl.col(CODE), pl.col(RECEIVED)))
        .select("row", field=pl.lit(CODE), value=pl.col(CODE), reason=pl.lit(reason), expected=pl.lit(expected))
    )
    return REVIEWS.to_frame().vstack(differing)


def counts(told: pl.DataFrame, by: str) -> Counter[str]:
    """How many rows of an account there are for each rule or reason."""
    return Counter(dict(told.group_by(by).len().iter_rows()))
