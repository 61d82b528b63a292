"""Records as columns are the records that a producer wrote, however they were batched."""

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from bus import records as module
from bus.batches import Runs
from bus.records import Record, Records

AT = TopicPartition("city.resident.identity", 3)
TIME = 1_780_000_000_000
HEADERS = [("ce_id", b"1"), ("traceparent", None), ("đ", b"\xff" * 70)]

written = st.tuples(
    st.integers(0, 3_000_000),
    st.one_of(st.none(), st.binary(max_size=80)),
    st.one_of(st.none(), st.binary(max_size=200)),
    st.sampled_from([[], HEADERS[:1], HEADERS]),
)


def batch(base: int, items: Sequence[tuple[Any, ...]], compression: int = 0) -> bytes:
    """A record batch of these times, keys, values and headers."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 24)
    for place, (later, key, value, headers) in enumerate(items):
        assert builder.append(place, TIME + later, key, value, headers)
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")  # as the broker stamps it
    return bytes(data)


def told(base: int, items: Sequence[tuple[Any, ...]]) -> list[Record]:
    return [
        Record(AT.topic, AT.partition, base + place, TIME + later, key, value, tuple(headers))
        for place, (later, key, value, headers) in enumerate(items)
    ]


@given(st.lists(st.lists(written, min_size=1, max_size=30), max_size=5), st.sampled_from(range(5)), st.booleans())
def test_what_was_written_is_what_is_read(batches: list[list[Any]], compression: int, few: bool) -> None:
    data, wanted, base = b"", [], 7
    for items in batches:
        data += batch(base, items, compression)
        wanted += told(base, items)
        base += len(items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", 1_000 if few else 0)
        assert list(Records.of(list(Runs(AT, data, (), 7)))) == wanted


def regular(count: int) -> list[tuple[Any, ...]]:
    return [(n * 40, b"%04d" % n, b"v" * (n % 300), HEADERS[:1]) for n in range(count)]


def test_regular_records_are_read_without_a_step_for_each(monkeypatch) -> None:
    runs = list(Runs(AT, batch(0, regular(3000), 3) + batch(3000, regular(2000)), (), 0))
    monkeypatch.setattr(module, "_walked", None)
    assert list(Records.of(runs)) == told(0, regular(3000)) + told(3000, regular(2000))


@pytest.mark.parametrize("at", [0, 1, 1500, 2999])
@pytest.mark.parametrize("odd", [(5, b"k", None, HEADERS[:1]), (5, None, b"v", HEADERS[:1]), (5, b"k", b"v", HEADERS)])
def test_one_irregular_record_changes_none_of_its_neighbours(at: int, odd: tuple[Any, ...]) -> None:
    items = regular(3000)
    items[at] = odd
    runs = list(Runs(AT, batch(0, items) + batch(3000, regular(2000)), (), 0))
    assert list(Records.of(runs)) == told(0, items) + told(3000, regular(2000))


def test_records_before_the_position_are_left_out() -> None:
    runs = Runs(AT, batch(0, regular(10)) + batch(10, regular(90)), (), 12)
    assert [record.offset for record in Records.of(list(runs))] == list(range(12, 100))
    assert runs.next_fetch_offset == 100


def test_a_batch_that_was_cut_waits_for_the_next_answer() -> None:
    data = batch(0, regular(10)) + batch(10, regular(90))
    runs = Runs(AT, data[:-1], (), 0)
    assert len(Records.of(list(runs))) == 10
    assert runs.next_fetch_offset == 10


def test_a_changed_byte_is_refused() -> None:
    data = bytearray(batch(0, regular(10)))
    data[-3] ^= 1
    with pytest.raises(CorruptRecordException):
        list(Runs(AT, bytes(data), (), 0))


def test_slices_are_records_too() -> None:
    records = Records.of(list(Runs(AT, batch(0, regular(10)), (), 0)))
    assert list(Records(records.frame[3:5])) == told(0, regular(10))[3:5]
