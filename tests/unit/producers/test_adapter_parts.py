"""The adapters' small parts: what may go out, with which schema, to which partition; and crash points."""

import signal

import pytest

from bus import crashpoints
from bus.catalog import load_catalog
from bus.errors import ClusterMismatch
from bus.models import ResidentIdentity
from bus.registry import MemoryRegistry
from bus.schema.avsc import load_register
from producers.admission import key_refusals, plain, state_refusals
from producers.partition import partition_of
from producers.release import newest_release
from tests.producing import WARD, person
from tests.schema_folders import EMAIL, with_next_version

IDENTITY = load_catalog().register("resident.identity")


async def test_writes_with_the_newest_version_that_is_released(tmp_path):
    schemas = with_next_version(tmp_path, "resident.identity", EMAIL)
    old, new = load_register("resident.identity", schemas)
    registry = MemoryRegistry()
    with pytest.raises(ClusterMismatch, match="lienthong schemas publish"):
        await newest_release(IDENTITY, registry, schemas)
    first = await registry.publish(IDENTITY.avro_subject, old.text)
    assert (await newest_release(IDENTITY, registry, schemas)).schema_id == first.schema_id
    second = await registry.publish(IDENTITY.avro_subject, new.text)
    release = await newest_release(IDENTITY, registry, schemas)
    assert (release.schema_id, release.schema.version) == (second.schema_id, 2)
    assert (await newest_release(IDENTITY, registry)).schema_id == first.schema_id, "an older wheel goes on"


def test_key_must_carry_its_writers_code_where_the_register_says_so():
    register, schema = load_catalog().register("dossier.case"), load_register("dossier.case")[-1]
    assert key_refusals(register, schema, WARD, f"{WARD}-260706-0001") == []
    for key, rule in ((f"{WARD}1-260706-0001", "dossier_code"), ("H29.10-260706-0001", "writer"), ("", "dossier_code")):
        assert [each.rule for each in key_refusals(register, schema, WARD, key)] == [rule]
    [refusal] = [
        each
        for each in state_refusals(register, schema, WARD, {"dossier_code": "H29.10-260706-0001"})
        if each.field == "dossier_code"
    ]
    assert refusal.rule == "writer"


def test_model_and_mapping_are_the_same_state():
    assert plain(ResidentIdentity(**person(1))) == plain(person(1)) == person(1)


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("abc", 479470107),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
    ],
)
def test_keys_lie_where_kafkas_own_murmur2_puts_them(key, hashed):
    """Values of Apache Kafka's UtilsTest.testMurmur2."""
    for partitions in (1, 12, 50, 2**31):
        wanted = (hashed & 0x7FFFFFFF) % partitions
        assert partition_of(key, partitions) == partition_of(key.encode(), partitions) == wanted


def test_crash_points_do_nothing_unless_armed_and_count(monkeypatch):
    died = []
    monkeypatch.setattr(crashpoints.os, "kill", lambda _pid, how: died.append(how))
    crashpoints.arm(None)
    crashpoints.crash_point("filediff.sent")
    crashpoints.arm("filediff.sent:2")
    crashpoints.crash_point("filediff.begun")
    crashpoints.crash_point("filediff.sent")
    assert died == []
    crashpoints.crash_point("filediff.sent")
    crashpoints.crash_point("filediff.sent")
    assert died == [signal.SIGKILL]
    crashpoints.arm("filediff.begun:1:STOP")
    crashpoints.crash_point("filediff.begun")
    assert died[1:] == [signal.SIGSTOP]
    crashpoints.arm("")
    with pytest.raises(ValueError, match="no such crash point"):
        crashpoints.arm("filediff.snet")
