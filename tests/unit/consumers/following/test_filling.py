"""What ends a fill, and what only lets it begin anew."""

import pytest

from bus.catalog import load_catalog
from bus.errors import Fenced
from bus.registry import MemoryRegistry
from consumers.following.filling import starting_over
from consumers.following.lanes import StartOver
from consumers.reading.book import SchemaBook
from tests.schemas import schema_text, with_field

IDENTITY = "resident.identity"


@pytest.fixture
async def registry():
    registry = MemoryRegistry()
    await registry.publish(load_catalog().register(IDENTITY).avro_subject, schema_text(IDENTITY))
    return registry


@pytest.fixture
async def book(registry):
    found = SchemaBook(load_catalog().register(IDENTITY), registry)
    await found.refresh()
    return found


async def test_fill_refused_because_the_other_lane_met_a_wider_schema_begins_anew(book, registry):
    with starting_over(IDENTITY, book):
        wider = with_field(schema_text(IDENTITY), "contact")
        await registry.publish(load_catalog().register(IDENTITY).avro_subject, wider)
        await book.refresh()
        raise Fenced("the shadow is gone")


async def test_fill_refused_by_a_successor_ends(book):
    with pytest.raises(Fenced), starting_over(IDENTITY, book):
        raise Fenced("a successor fills")


async def test_fill_that_met_a_new_schema_itself_begins_anew(book):
    with starting_over(IDENTITY, book):
        raise StartOver
