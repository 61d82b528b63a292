"""Schemas of their own and generated states for the tests of ``bus.schema``. All people and businesses are made up."""

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from bus.schema import Field, Record, RegisterSchema, load_codes, load_register
from bus.schema.envelope import ENVELOPE

# No database: tests made of one function for many registers would share their failures in it. No shrinking: it takes
# minutes over frames, and the first failure already names row, field and rule.
GENERATED = settings(max_examples=60, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
SAID = {"doc": "A sample.", "doc_vi": "Một ví dụ.", "pii": "none"}
IDENTITY = {
    "personal_id": "079185000001",
    "full_name": "Nguyễn Thị Mẫu",
    "birth_date": "1985-03-12",
    "birth_date_precision": "day",
    "sex": "female",
    "status": "active",
}

GOOD = {
    "text": ["Nguyễn Thị Mẫu", "H'Hen Niê", "a", "Đường số 1, khu phố 2"],
    "partial_date": ["1985", "1985-03", "1985-03-12", "2024-02-29", "1800", "2000-02-29"],
    "personal_id": ["079185000001", "000000000000"],
    "enterprise_code": ["0100233488", "0300588569", "0314409058-002", "0100047516"],
    "tax_id": ["0100233488", "0314409058-002", "079185000001"],
    "dossier_code": ["H15.50-260706-1377", "000.00.14.H56-200203-0118", "38.98.H29-210519-0013", "H29-240229-123456"],
    "procedure_code": ["1.000656", "1.000656.000.00.00.H29"],
    "agency_code": ["H29", "H29.5", "000.00.14.H56"],
}
BAD = {
    "text": ["", " Mẫu", "Mẫu ", "Mẫu\n", "a\tb", "Nguye\u0302\u0303n", "\u200bMẫu", "\ufeffMẫu", "\u00a0"],
    "partial_date": [
        "",
        "85",
        "1985-3",
        "1985-02-29",
        "1985-13",
        "1985-00",
        "1900-02-29",
        "1985-03-12\n",
        "١٩٨٥",
        "12/03/1985",
    ],
    "personal_id": ["07918500000", "0791850000011", "٠٧٩١٨٥٠٠٠٠٠١", "079185000001\n", " 79185000001"],
    "enterprise_code": ["0100233480", "0314409058-000", "0314409058002", "0100000000", "079185000001", "0100233488\n"],
    "tax_id": ["0100233480", "07918500000", "0314409058-000", "٠١٠٠٢٣٣٤٨٨"],
    "dossier_code": [
        "H15.50-260230-1377",
        "H15.50-261301-1377",
        "H15.50-260706-137",
        "H15.50-260706-1377\n",
        "15-260706-1377",
    ],
    "procedure_code": ["1.00656", "1.0006567", "1-000656", "1.000656.H29"],
    "agency_code": ["29", "h29", "H29.", "H29.5\n"],
}


def field(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **SAID, **attributes}


def optional(name: str, kind: Any, **attributes: Any) -> dict[str, Any]:
    return field(name, ["null", kind], default=None, **attributes)


def record(name: str, *fields: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "doc": "A sample.",
        "doc_vi": "Một ví dụ.",
        **attributes,
        "fields": list(fields),
    }


def schema(*fields: dict[str, Any], name: str = "Thing", **attributes: Any) -> dict[str, Any]:
    """A whole schema of ``sample.thing`` around the state's fields."""
    around = [{"name": n, **copy.deepcopy(dict(parts)), **SAID} for n, parts in ENVELOPE.items()]
    state = optional("state", record(f"{name}State", *fields, **attributes))
    return record(name, *around, state, namespace="vn.lienthong.sample")


def save(root: Path, *versions: dict[str, Any], register: str = "sample.thing") -> Path:
    """A ``schemas`` folder with these versions of one register."""
    folder = root.joinpath("avro", *register.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    for number, version in enumerate(versions, 1):
        (folder / f"v{number}.avsc").write_text(json.dumps(version), encoding="utf-8")
    return root


def identity() -> RegisterSchema:
    return load_register("resident.identity")[-1]


def everything() -> dict[str, Any]:
    """Every kind of field that a schema may have, and every kind of rule."""
    inner = record("Inner", field("code", "string", pattern="[a-c]{2}", hint="two letters"), optional("on", date()))
    outer = record(
        "Outer", optional("inner", inner), field("many", array("Inner"), default=[]), field("open", "boolean")
    )
    return schema(
        field("id", "string", check="text", max_length=5),
        optional("small", "int", minimum=-3, maximum=3),
        optional("ratio", "double", minimum=0),
        field("since", date()),
        optional("until", date()),
        optional("seen_at", {"type": "long", "logicalType": "timestamp-micros"}),
        optional("nation", "string", codes="country"),
        field("outer", outer),
        optional("spare", "Outer"),
        field("tags", array("string"), default=[], pattern="[a-z]+", hint="small letters"),
        optional("lists", array(array("long"))),
        checks=["in_order(since, until)", "differs(id,nation)"],
    )


def date() -> dict[str, Any]:
    return {"type": "int", "logicalType": "date"}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


# Assigned characters only: how those normalise is fixed for ever, while Python and Polars know different Unicode versions.
_LETTERS = st.characters(exclude_categories=("Cs", "Cn"))
_VIETNAMESE = "aăâbcdđeêghiklmnoôơpqrstuưvxyÀÁẢÃẠẰắằẳẵặấầẩẫậéèẻẽẹếềểễệĐÐ \u0301\u0323\u0306"
_NEAR = st.sampled_from(
    [
        "",
        " ",
        "\n",
        "079185000001",
        "079185000001\n",
        "07918500000",
        "٠٧٩١٨٥٠٠٠٠٠١",
        "0791850000०1",
        "Nguye\u0302\u0303n",
        "Trần Văn Mẫu",
        "Trần\tMẫu",
        "\u00a0Mẫu",
        "0100233488",
        "0100233480",
        "0314409058-002",
        "0314409058-000",
        "0100000000",
        "1.000656",
        "1.000656.000.00.00.H29",
        "H15.50-260706-1377",
        "H15.50-260230-1377",
        "000.00.14.H56-200203-0118",
        "H29.5",
        "26740",
        "25747",
        "79",
        "01",
        "VN",
        "FR",
        "citizen",
        "business",
        "household",
        "male",
        "female",
        "day",
        "month",
        "year",
        "1985",
        "1985-03",
        "1985-03-12",
        "1985-02-29",
        "1985-13",
        "1985-03-12\n",
        "0000-01-01",
        "9999",
        "25747@2025-07-01",
        "25747@unknown",
        "ab",
    ]
)
_TEXT = st.one_of(
    _NEAR, st.text(_VIETNAMESE, max_size=8), st.text(_LETTERS, max_size=6), st.from_regex("[0-9]{9,13}", fullmatch=True)
)
_DAYS = st.dates(dt.date(1899, 1, 1), dt.date(2101, 1, 1))
_MOMENTS = st.datetimes(timezones=st.just(dt.UTC))
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int": st.one_of(st.integers(-5, 5), st.integers(-(2**40), 2**40)),
    "long": st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)),
    "double": st.floats(),
    "boolean": st.booleans(),
    "date": _DAYS,
    "timestamp": _MOMENTS,
}


def states(of: Record) -> st.SearchStrategy[dict[str, Any]]:
    """Right, nearly right and wrong states whose types fit."""
    plain = st.fixed_dictionaries({f.name: _values(f) for f in of.fields})
    return st.one_of(plain, plain.flatmap(lambda state: _people(state) if "birth_date" in state else st.just(state)))


def _people(state: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Identities whose number agrees with birth date and sex, or misses by one."""

    def person(year: int, sex: str, miss: int) -> dict[str, Any]:
        digit = (year - 1900) // 100 * 2 + (sex == "female") + miss
        return {**state, "personal_id": f"079{digit % 10}{year % 100:02}000001", "sex": sex, "birth_date": f"{year}-03"}

    return st.builds(
        person, st.integers(1895, 2405), st.sampled_from(["male", "female", "unknown"]), st.sampled_from([0, 0, 1])
    )


def _values(of: Field) -> st.SearchStrategy[Any]:
    if of.record:
        value: st.SearchStrategy[Any] = states(of.record)
    elif of.items:
        value = st.lists(_values(of.items.fields[0]), max_size=3)
    elif of.codes:
        value = st.one_of(st.sampled_from(sorted(load_codes()[of.codes].current)), _TEXT)
    elif checks := [rule.name for rule in of.rules if rule.name in GOOD]:
        value = st.one_of(st.sampled_from(GOOD[checks[0]] + BAD[checks[0]]), _TEXT)
    else:
        value = _SCALARS.get(of.kind, _TEXT)
    return st.one_of(value, value, value, st.none())
