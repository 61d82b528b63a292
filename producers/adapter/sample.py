"""Rows to try an adapter with: synthetic, the same on every machine, in the register's own fields as text."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from bus.demo.cells import cells
from bus.demo.data import businesses, civil_status, dossiers, people, residence
from bus.names import AgencyCode
from bus.schema.avsc import load_register
from bus.schema.codes import load_codes
from bus.schema.columns import frame_schema
from bus.schema.fields import RegisterSchema
from producers.columns import columns

ROWS, SEED = 8, 1


def sample(schema: RegisterSchema, agency: AgencyCode) -> pl.DataFrame:
    """A few rows, all of which may be published; none for a register that we have no synthetic data of."""
    made = _MADE.get(schema.register)
    found = made(agency) if made else _codes(schema)
    return cells(found, day_first=True).select(list(columns(schema)))


def states(register: str, agency: str) -> list[dict[str, Any]]:
    """The same rows as states, as a program gives them to an outbox or a publisher."""
    schema = load_register(register)[-1]
    made = _MADE.get(schema.register)
    return (made(AgencyCode(agency)) if made else _codes(schema)).to_dicts()


def _people() -> pl.DataFrame:
    return people(ROWS, SEED)


def _firms() -> pl.DataFrame:
    return businesses(ROWS, people(40, SEED), SEED)


def _sensitive(_agency: AgencyCode) -> pl.DataFrame:
    return _people().select(
        "personal_id", ethnicity=pl.lit("01"), religion=pl.lit(None, pl.String), blood_type=pl.lit(None, pl.String)
    )


def _tax(agency: AgencyCode) -> pl.DataFrame:
    return _firms().select(
        tax_id="enterprise_code",
        enterprise_code="enterprise_code",
        tax_status=pl.lit(min(load_codes()["tax_status"].current)),
        tax_office=pl.lit(f"Thuế cơ sở mẫu {agency}"),
        since=pl.lit(None, pl.Date),
    )


def _codes(schema: RegisterSchema) -> pl.DataFrame:
    """The beginning of a shared code list, for the platform itself."""
    codes = load_codes().get(schema.register.removeprefix("code."))
    return pl.DataFrame(codes.states()[:ROWS] if codes else [], schema=frame_schema(schema))


_MADE: Mapping[str, Callable[[AgencyCode], pl.DataFrame]] = {
    "resident.identity": lambda _agency: _people(),
    "resident.sensitive": _sensitive,
    "resident.residence": lambda _agency: residence(_people(), SEED),
    "resident.civil_status": lambda _agency: civil_status(_people(), SEED),
    "business.registration": lambda _agency: _firms(),
    "business.tax": _tax,
    "dossier.case": lambda agency: dossiers(ROWS, people(40, SEED), _firms(), agency, SEED),
}
