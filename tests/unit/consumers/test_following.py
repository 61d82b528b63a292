"""What ends a fill, and what only lets it begin anew."""

import pytest

from bus import kafka
from bus.catalog import load_catalog
from bus.errors import Fenced
from bus.registry import MemoryRegistry
from bus.settings import KafkaSettings
from consumers.following import Following, StartOver
from consumers.parked.lot import ParkingLot
from consumers.sharing import Alone
from consumers.stores import MemoryStore
from consumers.thread import StoreThread
from tests.schemas import schema_text, with_field

IDENTITY = "resident.identity"


async def nothing() -> None:
    return


@pytest.fixture
async def registry():
    registry = MemoryRegistry()
    await registry.publish(load_catalog().register(IDENTITY).avro_subject, schema_text(IDENTITY))
    return registry


@pytest.fixture
async def following(registry):
    store = StoreThread(MemoryStore())
    found = Following(
        load_catalog().register(IDENTITY),
        registry,
        store,
        KafkaSettings(),
        owner="H29.4/test",
        max_batch=10,
        columnar=True,
        lot=ParkingLot(store, 10),
        open_tables=nothing,
        sharing=Alone(),
        admin=kafka.admin(KafkaSettings()),
    )
    await found.book.refresh()
    return found


async def test_fill_refused_because_the_other_lane_met_a_wider_schema_begins_anew(following, registry):
    with following._starting_over():
        wider = with_field(schema_text(IDENTITY), "contact")
        await registry.publish(following.register.avro_subject, wider)
        await following.book.refresh()
        raise Fenced("the shadow is gone")


async def test_fill_refused_by_a_successor_ends(following):
    with pytest.raises(Fenced), following._starting_over():
        raise Fenced("a successor fills")


async def test_fill_that_met_a_new_schema_itself_begins_anew(following):
    with following._starting_over():
        raise StartOver
