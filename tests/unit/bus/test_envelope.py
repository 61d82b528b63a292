"""The version of any event, read without its schema."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bus import codec
from bus.envelope import version_of
from bus.headers import tombstone_headers
from bus.names import SchemaId
from bus.schema.avsc import load_register
from tests.consuming import delete, upsert

ENCODER = codec.Encoder(SchemaId(7), codec.parse(json.loads(load_register("resident.identity")[-1].text)))


@given(version=st.integers(0, 2**62), number=st.integers(1, 999_999))
def test_version_is_the_event_s_own(version, number):
    event = upsert(number, 1)
    told = type(event)(**{**{name: getattr(event, name) for name in event.__slots__}, "version": version})
    assert version_of(ENCODER.encode(told), []) == version


def test_tombstone_tells_its_version():
    assert version_of(None, tombstone_headers(delete(1, 20))) == 20


@given(st.binary(max_size=80))
def test_any_bytes_have_a_version_or_none(value):
    found = version_of(value, [])
    assert found is None or isinstance(found, int)
    assert version_of(None, [("ce_id", value)]) is None
