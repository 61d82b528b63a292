"""File diff against a real Kafka: each test is a promise of what an export may and may not do to the topic."""

import asyncio
import csv
import stat
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from bus.errors import ConfirmationNeeded, Fenced, StateInUse
from bus.event import MARKER_KEY, Op
from bus.headers import read_tombstone
from producers import Publisher
from producers.filediff import run as running
from producers.filediff.place import held
from producers.filediff.run import publish_file
from producers.filediff.state import FileState
from producers.partition import partition_of
from tests.exports import as_csv, export, job, people, run, text
from tests.producing import (
    BUSINESS,
    CASE,
    IDENTITY,
    WARD,
    events,
    person,
    prepare,
    publisher_settings,
    records,
    release,
)
from tests.schema_folders import EMAIL, with_next_version


def by_key(found):
    """State per key after the last event, and None for who is deleted."""
    return {event.key: event.state for event in found}


@pytest.fixture
async def bus(kafka, topic_prefix):
    await prepare(kafka, topic_prefix)
    return kafka, topic_prefix


async def test_export_becomes_events_once_and_nothing_the_second_time(bus, tmp_path):
    rows = people(50)
    file = export(tmp_path, rows)
    first = await run(*bus, tmp_path, file)
    second = await run(*bus, tmp_path, file)
    assert (first.new, first.events, first.sent) == (50, 50, True)
    assert (second.unchanged, second.events, second.state_rebuilt) == (50, 0, None)
    found = await events(*bus)
    assert by_key(found) == {row["personal_id"]: row for row in rows}
    assert len(found) == 50
    for record in await records(bus[0], f"{bus[1]}.{IDENTITY}"):
        assert record.partition == partition_of(record.key, 12)


async def test_changed_rows_send_that_many_events_and_gone_rows_a_delete_with_its_tombstone(bus, tmp_path):
    rows = people(50)
    await run(*bus, tmp_path, export(tmp_path, rows))
    changed = [row | {"full_name": "Trần Thị Đổi"} if place < 3 else row for place, row in enumerate(rows)][:-2]
    outcome = await run(*bus, tmp_path, export(tmp_path, [*changed, person(900)]))
    assert (outcome.new, outcome.changed, outcome.gone, outcome.unchanged) == (1, 3, 2, 45)
    found = await events(*bus)
    assert len(found) == 50 + 6
    assert by_key(found)[rows[-1]["personal_id"]] is None
    raw = await records(bus[0], f"{bus[1]}.{IDENTITY}")
    tombstones = {record.key.decode(): record for record in raw if record.value is None}
    deletes = {event.key: event for event in found if event.op is Op.DELETE}
    assert tombstones.keys() == deletes.keys() == {row["personal_id"] for row in rows[-2:]}
    assert all(read_tombstone(tombstones[key].headers).version == deletes[key].version for key in deletes)
    again = await run(*bus, tmp_path, export(tmp_path, [*changed, person(900)]))
    assert again.events == 0


async def test_person_who_comes_back_after_a_delete_is_there_with_a_higher_version(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    await run(*bus, tmp_path, export(tmp_path, rows[1:]))
    outcome = await run(*bus, tmp_path, export(tmp_path, rows))
    assert (outcome.new, outcome.unchanged) == (1, 9)
    versions = [event.version for event in await events(*bus) if event.key == rows[0]["personal_id"]]
    assert len(versions) == 3
    assert versions == sorted(set(versions))


async def test_damaged_row_of_a_known_person_deletes_nobody(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    rows[4] = rows[4] | {"birth_date": "31/02/1985"}
    outcome = await run(*bus, tmp_path, export(tmp_path, rows[:-1]))
    assert (outcome.refused, outcome.gone, outcome.unchanged) == ({"partial_date": 1}, 1, 8)
    assert by_key(await events(*bus))[rows[4]["personal_id"]] == person(4)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace("079085000004", "07908500000"),
        lambda line: line.replace("079085000004", ""),
        lambda line: line.replace("079085000004", "079185000004"),
        lambda line: line.replace(",", "", 1),
        lambda line: line.replace("Nguyễn", '"Nguyễn'),
    ],
    ids=["digit lost", "empty", "digit mistyped", "cell lost", "quote not closed"],
)
async def test_row_whose_key_cannot_be_trusted_deletes_nobody_and_says_so(bus, tmp_path, damage):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    lines = as_csv(rows[:-1]).splitlines(keepends=True)
    lines[5] = damage(lines[5])
    file = tmp_path / "export.csv"
    file.write_text("".join(lines), encoding="utf-8")
    outcome = await run(*bus, tmp_path, file, confirm_deletes=True)
    assert (outcome.gone, outcome.refused_rows, outcome.unchanged) == (0, 1, 8)
    assert outcome.deletes_withheld == "the key of 1 row cannot be trusted"
    assert len(await events(*bus)) == 10


async def test_row_in_another_encoding_is_refused_and_deletes_nobody(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    file = tmp_path / "export.csv"
    lines = as_csv(rows).encode().splitlines(keepends=True)
    lines[3] = lines[3].replace("ễ".encode(), b"\xd4")
    file.write_bytes(b"".join(lines[:-1]))
    outcome = await run(*bus, tmp_path, file)
    assert (outcome.refused, outcome.gone) == ({"encoding": 1}, 0)
    assert outcome.deletes_withheld


async def test_export_that_would_delete_more_than_its_share_sends_nothing_unless_confirmed(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    smaller = export(tmp_path, [*rows[:7], person(99)])
    with pytest.raises(ConfirmationNeeded, match="3 of 10 published subjects"):
        await run(*bus, tmp_path, smaller)
    assert len(await events(*bus)) == 10
    assert (await run(*bus, tmp_path, smaller, partial=True)).gone == 0
    outcome = await run(*bus, tmp_path, smaller, confirm_deletes=True)
    assert (outcome.new, outcome.gone) == (0, 3)


async def test_all_rows_of_a_key_that_stands_twice_are_refused_and_nobody_is_deleted_for_it(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    doubled = export(tmp_path, [*rows, rows[3] | {"full_name": "Lê Khác"}, person(50), person(50)])
    outcome = await run(*bus, tmp_path, doubled)
    assert (outcome.events, outcome.refused_rows, outcome.refused) == (0, 4, {"duplicate": 4})
    kept = list(csv.DictReader(text(outcome.quarantine).splitlines()))
    assert [(row["_line"], row["_reason"]) for row in kept] == [(n, "duplicate") for n in ("5", "12", "13", "14")]
    assert kept[1]["full_name"] == "Lê Khác"


async def test_quarantine_file_can_be_corrected_and_fed_in_again_as_it_is(bus, tmp_path):
    rows = [*people(5), person(6, sex="boy", full_name="Nguyễn Ánh"), person(7, nationality="XX")]
    quarantine = tmp_path / "again.csv"
    first = await run(*bus, tmp_path, export(tmp_path, rows), quarantine=quarantine)
    assert (first.new, first.refused, first.quarantine) == (5, {"codes": 2}, str(quarantine))
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o600
    assert "sex,codes" in text(quarantine)
    quarantine.write_text(text(quarantine).replace("boy", "male"), encoding="utf-8")
    second = await run(*bus, tmp_path, quarantine, partial=True)
    assert (second.new, second.gone, second.refused) == (1, 0, {"codes": 1})
    assert by_key(await events(*bus))[person(6)["personal_id"]] == person(6, full_name="Nguyễn Ánh")
    last = tmp_path / "last.csv"
    last.write_text(text(second.quarantine).replace("XX", "LA"), encoding="utf-8")
    assert (await run(*bus, tmp_path, last, partial=True)).new == 1


async def test_dry_run_says_what_would_be_sent_and_sends_nothing(bus, tmp_path):
    outcome = await run(*bus, tmp_path, export(tmp_path, people(5)), dry_run=True)
    assert (outcome.new, outcome.sent) == (5, False)
    assert await events(*bus) == []


async def test_lost_state_is_rebuilt_from_the_topic_and_nothing_is_sent_again(bus, tmp_path):
    rows = people(30)
    await run(*bus, tmp_path, export(tmp_path, rows))
    await run(*bus, tmp_path, export(tmp_path, rows[1:]))
    for file in (tmp_path / "state").iterdir():
        file.unlink()
    outcome = await run(*bus, tmp_path, export(tmp_path, rows[1:]))
    assert (outcome.events, outcome.unchanged, outcome.state_rebuilt) == (0, 29, "there is none yet")
    back = await run(*bus, tmp_path, export(tmp_path, rows))
    assert (back.new, back.unchanged) == (1, 29)
    found = [event.version for event in await events(*bus) if event.key == rows[0]["personal_id"]]
    assert found == sorted(set(found))


async def test_state_only_its_owner_can_read(bus, tmp_path):
    await run(*bus, tmp_path, export(tmp_path, people(1)))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}, modes


async def test_topic_made_again_is_noticed_and_filled_again(bus, tmp_path, kafka_admin):
    file = export(tmp_path, people(5))
    await run(*bus, tmp_path, file)
    topic = f"{bus[1]}.{IDENTITY}"
    kafka_admin.delete_topics([topic])[topic].result()
    async with asyncio.timeout(20):
        while topic in kafka_admin.list_topics().topics:  # noqa: ASYNC110 - Kafka tells no event
            await asyncio.sleep(0.05)
        await prepare(*bus)
    outcome = await run(*bus, tmp_path, file)
    assert (outcome.new, outcome.state_rebuilt) == (5, "the topic was deleted and made again")


async def test_what_another_adapter_of_the_same_writer_published_is_taken_into_account(bus, tmp_path):
    rows = people(5)
    file = export(tmp_path, rows)
    await run(*bus, tmp_path, file)
    async with Publisher(publisher_settings(*bus)) as publisher:
        await publisher.publish(IDENTITY, rows[0] | {"full_name": "Phạm Mới"})
        await publisher.publish(IDENTITY, person(70))
        await publisher.publish(IDENTITY, rows[1])
    outcome = await run(*bus, tmp_path, export(tmp_path, [*rows, person(70)]))
    assert (outcome.new, outcome.changed, outcome.unchanged) == (0, 1, 5)


async def test_run_writes_markers_unless_one_did_within_a_day(bus, tmp_path):
    now, marked = datetime.now(UTC), []
    file = export(tmp_path, people(1))
    for hours in (0, 1, 25, 26, 50, 20):
        await publish_file(job(*bus, tmp_path, file), now=lambda hours=hours: now + timedelta(hours=hours))
        found = await records(bus[0], f"{bus[1]}.{IDENTITY}")
        marked.append(len([each for each in found if each.key == MARKER_KEY]))
    assert marked == [0, 0, 12, 12, 24, 36]


async def test_clock_that_went_back_still_gives_higher_versions(bus, tmp_path):
    rows = people(5)
    ahead = datetime.now(UTC) + timedelta(minutes=50)
    await publish_file(job(*bus, tmp_path, export(tmp_path, rows)), now=lambda: ahead)
    rows[0] = rows[0] | {"full_name": "Võ Sau"}
    await publish_file(job(*bus, tmp_path, export(tmp_path, rows)), now=lambda: ahead - timedelta(days=20))
    versions = [event.version for event in await events(*bus) if event.key == rows[0]["personal_id"]]
    assert versions[0] < versions[1]


async def test_older_of_two_runs_is_fenced_and_says_so(bus, tmp_path, monkeypatch):
    """The older run has compared its export when the newer one starts and ends; then the older one wants to send."""
    for name in ("older", "newer"):
        (tmp_path / name).mkdir()
    compared, go_on = asyncio.Event(), asyncio.Event()
    send = running._send

    async def late(*arguments):
        if not compared.is_set():
            compared.set()
            await go_on.wait()
        await send(*arguments)

    monkeypatch.setattr(running, "_send", late)
    older = asyncio.create_task(run(*bus, tmp_path / "older", export(tmp_path / "older", people(5))))
    await compared.wait()
    newer = await run(*bus, tmp_path / "newer", export(tmp_path / "newer", people(8)))
    go_on.set()
    with pytest.raises(Fenced, match="taken over"):
        await older
    assert newer.new == 8
    counts = Counter(event.key for event in await events(*bus))
    assert (len(counts), set(counts.values())) == (8, {1})


async def test_second_run_on_the_same_state_is_told_who_holds_it(bus, tmp_path):
    file = export(tmp_path, people(1))
    (tmp_path / "state").mkdir()
    with held(tmp_path / "state", f"{bus[1]}.{IDENTITY}"), pytest.raises(StateInUse, match="wait until it has ended"):
        await run(*bus, tmp_path, file)


async def test_dossier_under_another_agencys_code_is_refused(kafka, topic_prefix, tmp_path):
    await prepare(kafka, topic_prefix, [CASE])
    own = {
        "dossier_code": f"{WARD}-260706-0001",
        "procedure_code": "1.000656",
        "applicant_kind": "citizen",
        "received_at": "20260706083000",
        "status": "2",
        "agency_code": WARD,
        "documents": [{"name": "Tờ khai", "reused_from": "resident.identity"}],
    }
    other = own | {"dossier_code": "H29.102-260706-0001"}
    file = export(tmp_path, [own, other])
    outcome = await run(kafka, topic_prefix, tmp_path, file, register_name=CASE, agency=WARD)
    assert (outcome.new, outcome.refused) == (1, {"writer": 1})
    [event] = await events(kafka, topic_prefix, CASE, WARD)
    assert event.state["received_at"] == datetime(2026, 7, 6, 1, 30, tzinfo=UTC)
    assert event.state["documents"] == [{"code": None, "name": "Tờ khai", "reused_from": "resident.identity"}]


async def test_nested_record_comes_from_its_dotted_columns(kafka, topic_prefix, tmp_path):
    await prepare(kafka, topic_prefix, [BUSINESS])
    firm = {
        "enterprise_code": "0100233488",
        "name": "Công ty Mẫu",
        "legal_form": "joint_stock",
        "head_office_address.detail": "1 Lê Lợi",
        "head_office_address.ward_code": "26740",
        "legal_status": "operating",
        "charter_capital": 5_000_000_000,
        "business_lines": [{"code": "4711", "main": True}],
    }
    none = firm | {
        "enterprise_code": "0300588569",
        "head_office_address.detail": None,
        "head_office_address.ward_code": None,
        "business_lines": None,
    }
    file = export(tmp_path, [firm, none])
    first = await run(kafka, topic_prefix, tmp_path, file, register_name=BUSINESS, agency="H29.2")
    again = await run(kafka, topic_prefix, tmp_path, file, register_name=BUSINESS, agency="H29.2")
    assert (first.new, again.unchanged) == (2, 2)
    found = by_key(await events(kafka, topic_prefix, BUSINESS, "H29.2"))
    assert found["0100233488"]["head_office_address"]["ward_code"] == "26740"
    assert found["0300588569"]["head_office_address"] is None
    assert found["0300588569"]["business_lines"] == []


async def test_many_transactions_keep_version_order_and_leave_nothing_to_read_again(bus, tmp_path):
    rows = people(40)
    await run(*bus, tmp_path, export(tmp_path, rows), transaction_events=7)
    changed = [row | {"full_name": "Đặng Đổi"} for row in rows]
    assert (await run(*bus, tmp_path, export(tmp_path, changed), transaction_events=7)).changed == 40
    versions = [event.version for event in await events(*bus) if event.key == rows[0]["personal_id"]]
    assert versions == sorted(set(versions))
    last = {record.partition: record.offset for record in await records(bus[0], f"{bus[1]}.{IDENTITY}")}
    with FileState(tmp_path / "state" / f"{bus[1]}.{IDENTITY}.sqlite") as state:
        assert {place: state.positions()[place] for place in last} == {place: last[place] + 1 for place in last}


async def test_new_schema_version_sends_nothing_again_and_its_new_column_only_where_it_says_something(bus, tmp_path):
    rows = people(10)
    file = export(tmp_path, rows)
    await run(*bus, tmp_path, file)
    schemas = with_next_version(tmp_path / "schemas", IDENTITY, EMAIL)
    await release(*bus, [IDENTITY], schemas)
    assert (await run(*bus, tmp_path, file, schemas=schemas)).unchanged == 10
    (tmp_path / "other").mkdir()
    rebuilt = await run(*bus, tmp_path / "other", file, schemas=schemas)
    assert (rebuilt.unchanged, rebuilt.events) == (10, 0)
    wider = [row | {"email": "mau@example.vn" if place == 0 else None} for place, row in enumerate(rows)]
    outcome = await run(*bus, tmp_path, export(tmp_path, wider), schemas=schemas)
    assert (outcome.changed, outcome.unchanged) == (1, 9)


async def test_row_that_is_word_for_word_as_before_is_not_read_again_and_one_in_other_words_only_once(bus, tmp_path):
    rows = people(20)
    await run(*bus, tmp_path, export(tmp_path, rows))
    other_words = [rows[0] | {"birth_date": "12/03/1985"}, *rows[1:]]
    second = await run(*bus, tmp_path, export(tmp_path, other_words, columns=reversed(rows[0])))
    third = await run(*bus, tmp_path, export(tmp_path, other_words))
    assert [(o.unchanged, o.same_text, o.events) for o in (second, third)] == [(20, 19, 0), (20, 20, 0)]


async def test_row_as_before_beside_another_of_its_key_is_refused_with_it(bus, tmp_path):
    rows = people(10)
    await run(*bus, tmp_path, export(tmp_path, rows))
    outcome = await run(*bus, tmp_path, export(tmp_path, [*rows, rows[2], rows[3] | {"full_name": "Lê Khác"}]))
    assert (outcome.events, outcome.unchanged, outcome.refused) == (0, 8, {"duplicate": 4})


async def test_text_that_was_as_before_is_read_again_once_somebody_else_has_written_its_key(bus, tmp_path):
    rows = people(5)
    file = export(tmp_path, rows)
    await run(*bus, tmp_path, file)
    async with Publisher(publisher_settings(*bus)) as publisher:
        await publisher.publish(IDENTITY, rows[0] | {"full_name": "Phạm Mới"})
    outcome = await run(*bus, tmp_path, file)
    assert (outcome.changed, outcome.same_text) == (1, 4)


async def test_rows_are_read_again_where_a_state_was_lost_and_known_by_their_text_from_then_on(bus, tmp_path):
    file = export(tmp_path, people(5))
    await run(*bus, tmp_path, file)
    for kept in (tmp_path / "state").iterdir():
        kept.unlink()
    assert [(await run(*bus, tmp_path, file)).same_text for _ in range(2)] == [0, 5]
