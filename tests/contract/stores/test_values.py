from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bus.errors import RowsRefused
from consumers.stores import canonical_frame
from consumers.stores.model import Outcome, Slot
from tests.contract.stores.building import FULL_STATE, IDENTITY, NOON, Owner, filled, frame, held, merge, upsert

REGISTER = IDENTITY.register

STATES = {
    "everything": FULL_STATE,
    "nothing": {},
    "vietnamese": {"full_name": "Nguyễn Đặng Hoà Ý — phường Bến Nghé"},
    "quotes": {"full_name": "''\"\"`´ O'Brien; DROP TABLE resident_identity; --"},
    "lines and tabs": {"full_name": "a\nb\r\nc\td\re"},
    "backslashes": {"full_name": "\\ \\\\ \\n \\N \\t \\."},
    "null's own word": {"full_name": "\\N"},
    "end of copy": {"full_name": "\\."},
    "emoji": {"full_name": "👩‍👩‍👧‍👦🇻🇳"},
    "not composed": {"full_name": "a\u0302\u0301 e\u0323\u0302"},
    "control characters": {"full_name": "\x01\x1f\x7f\u2028\ufeff"},
    "empty text": {"full_name": "", "address": '{"detail":"","ward_code":null}', "photo": b"", "phones": "[]"},
    "spaces": {"full_name": "  a  "},
    "null's name": {"full_name": "NULL"},
    "like a number": {"full_name": "007", "address": '{"detail":"1e5","ward_code":"00001"}'},
    "first day": {"born": date(1, 1, 1), "seen_at": datetime(1, 1, 1, tzinfo=UTC)},
    "last day": {"born": date(9999, 12, 31), "seen_at": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
    "early years": {"born": date(99, 2, 28), "seen_at": datetime(987, 6, 5, 4, 3, 2, 1, tzinfo=UTC)},
    "before the epoch": {"born": date(1906, 1, 1), "seen_at": datetime(1906, 7, 1, 0, 7, 40, 999_999, tzinfo=UTC)},
    "leap day": {"born": date(2000, 2, 29)},
    "largest": {"children": 2**63 - 1, "height": 1.7976931348623157e308, "fee": Decimal("9999999999999999.99")},
    "smallest": {"children": -(2**63), "height": 5e-324, "fee": Decimal("-9999999999999999.99")},
    "zeros": {"children": 0, "height": 0.0, "fee": Decimal("0.00"), "alive": False},
    "fractions": {"height": 0.1 + 0.2, "fee": Decimal("0.10")},
    "infinite": {"height": float("inf")},
    "bytes": {"photo": bytes(range(256))},
    "json": {
        "address": '{"ward_code": "26737", "detail": "a\\"b\\\\c\\/\\n\\u0110\\ud83d\\udc69"}',
        "phones": '[{"number": "1", "kind": null}, {"kind": "\\\\u0000", "number": ""}]',
    },
}


@pytest.mark.parametrize("way", ["apply", "small", "fill"])
def test_values_come_back_as_they_were(store, way):
    events = [upsert(name, version, **state) for version, (name, state) in enumerate(STATES.items(), 1)]
    if way == "fill":
        filled(store, *events)
    elif way == "small":
        owner = Owner(store)
        for event in events:
            owner.send(event)
    else:
        Owner(store).send(*events, *(upsert(f"~{n:04d}", 1, full_name="\\") for n in range(300)))
    sent = canonical_frame(IDENTITY, frame(IDENTITY, *events)).sort("key")
    assert_frame_equal(store.rows(REGISTER).filter(~pl.col("key").str.starts_with("~")), sent)


def test_row_has_python_values(store):
    Owner(store).send(upsert("a", 7, **FULL_STATE))
    row = store.get(REGISTER, "a")
    assert row.fields == {
        "personal_id": "a",
        **FULL_STATE,
        "address": {"ward_code": "26737", "detail": "12 Võ Văn Tần"},
        "phones": [{"kind": "di động", "number": "0701234567"}, {"kind": None, "number": '"x"'}],
    }
    assert list(row.fields) == list(IDENTITY.columns)
    assert {name: type(value) for name, value in row.fields.items()} == {
        "personal_id": str, "full_name": str, "children": int, "alive": bool, "born": date, "seen_at": datetime,
        "height": float, "fee": Decimal, "photo": bytes, "address": dict, "phones": list,
    }  # fmt: skip
    assert row.fields["seen_at"].utcoffset().total_seconds() == 0
    assert (row.register, row.key, row.version, row.source) == (REGISTER, "a", 7, "H29.5")
    assert (row.recorded_at, row.occurred_at) == (NOON.replace(microsecond=123_463), NOON.replace(second=59, minute=59, hour=11, microsecond=123_463))  # fmt: skip
    assert (row.event_id, row.replaced_by) == ("01978000-0000-7000-8000-000000000007", None)


def test_rows_are_ordered_by_code_point(store):
    keys = ["b", "Đ", "a", "é", "Z", "e", "~", "đ", "0", "👩", "\uffee"]
    filled(store, *(upsert(key, 1) for key in keys))
    assert list(held(store)) == sorted(keys)


def test_merge_comes_back_as_it_was(store):
    filled(store, merge("old", 3, "new"))
    assert_frame_equal(store.rows(REGISTER), frame(IDENTITY, merge("old", 3, "new")))


def test_rows_of_an_empty_table_have_all_columns(store):
    rows = store.rows(REGISTER)
    assert rows.is_empty()
    assert rows.schema == frame(IDENTITY).schema


REFUSED = {
    "NUL in text": {"full_name": "a\0b"},
    "NUL in nested text": {"address": '{"detail":"a\\u0000b"}'},
}


@pytest.mark.parametrize("bad", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("slot", Slot)
def test_row_that_no_database_can_hold_is_refused_and_its_batch_does_not_happen(store, bad, slot):
    if slot is Slot.SHADOW:
        store.begin_fill(REGISTER)
    owner = Owner(store, slot=slot)
    with pytest.raises(RowsRefused) as refused:
        owner.send(upsert("good", 1), upsert("bad", 1, **bad), counts={"superseded": 1})
    assert refused.value.reason == "database_constraint"
    assert "a" + chr(0) not in str(refused.value)
    assert store.counters(REGISTER) == {}
    owner.send(upsert("good", 1))
    if slot is Slot.SHADOW:
        store.finish_fill(REGISTER)
    assert held(store) == {"good": 1}


ODD_FRAMES = {
    "NUL in key": pl.col("key") + "\0",
    "long key": pl.lit("k" * 1001).alias("key"),
    "no key": pl.lit(None, pl.String).alias("key"),
    "no version": pl.lit(None, pl.Int64).alias("version"),
    "before year 1": pl.lit(-800_000, pl.Int32).cast(pl.Date).alias("born"),
    "after year 9999": pl.lit(3_000_000, pl.Int32).cast(pl.Date).alias("born"),
    "time after year 9999": pl.lit(2**62, pl.Int64).cast(pl.Datetime("us", "UTC")).alias("seen_at"),
    "time of recording before year 1": pl.lit(-(2**62), pl.Int64).cast(pl.Datetime("us", "UTC")).alias("recorded_at"),
    "not a number": pl.lit(float("nan")).alias("height"),
}


@pytest.mark.parametrize("change", ODD_FRAMES.values(), ids=ODD_FRAMES)
def test_odd_value_is_refused_by_every_store_alike(store, change):
    owner = Owner(store)
    batch = owner.batch(upsert("a", 1))
    with pytest.raises(RowsRefused):
        store.apply(replace(batch, rows=batch.rows.with_columns(change)))
    assert store.apply(batch) == Outcome(1, 0)


def test_text_of_a_megabyte_is_held(store):
    text = "Đ" * 500_000
    Owner(store).send(upsert("a", 1, full_name=text))
    assert store.get(REGISTER, "a").fields["full_name"] == text


def test_key_as_long_as_allowed_is_indexed(store):
    filled(store, upsert("Đ" * 500, 1), upsert("x" * 1000, 1))
    assert len(held(store)) == 2
