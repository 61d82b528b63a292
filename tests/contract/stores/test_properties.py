"""Any stream of events, cut anywhere, applied or filled, in any store, comes to the same."""

from dataclasses import dataclass
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from consumers.stores import MemoryStore
from consumers.stores.base import Store
from consumers.stores.model import Slot
from tests.contract.stores.building import IDENTITY, Owner, delete, merge, upsert
from tests.contract.stores.sites import site

REGISTER = IDENTITY.register
KEYS = ("a", "b", "Đ", "d'\\")
TEXTS = ("", "An", None, "\\N\t\n", "Ngọc \U0001f469")


@dataclass(frozen=True)
class Step:
    """A batch to one slot, or what happens between batches."""

    what: str
    events: tuple = ()


def event(key, version):
    """Key and version say what an event is: a source never gives one version to two of them."""
    kind = (version * 7 + KEYS.index(key) * 3) % 5
    if kind == 0:
        return delete(key, version)
    if kind == 1:
        return merge(key, version, KEYS[version % len(KEYS)])
    return upsert(key, version, full_name=TEXTS[version % len(TEXTS)], children=version, address='{"a": [1, {}]}')


events = st.builds(event, st.sampled_from(KEYS), st.integers(1, 12))
batches = st.lists(events, max_size=6).map(tuple)


def whole(batch):
    """A batch as the engine gives it: the newest event of each key."""
    newest = {}
    for each in batch:
        if each["version"] > newest.get(each["key"], {"version": 0})["version"]:
            newest[each["key"]] = each
    return newest.values()


class Player:
    """Plays one story on one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.open([IDENTITY])
        self.owners = {Slot.LIVE: Owner(store)}
        self.outcomes = []

    def play(self, step: Step) -> None:
        if step.what == "apply":
            self.outcomes.append(self.owners[Slot.LIVE].send(*whole(step.events)))
        elif step.what == "begin":
            self.store.begin_fill(REGISTER)
            self.owners[Slot.SHADOW] = Owner(self.store, slot=Slot.SHADOW)
        elif step.what == "fill" and Slot.SHADOW in self.owners:
            self.owners[Slot.SHADOW].send(*whole(step.events))
        elif step.what == "finish" and Slot.SHADOW in self.owners:
            del self.owners[Slot.SHADOW]
            self.outcomes.append(self.store.finish_fill(REGISTER))
            self.owners[Slot.LIVE].claim()

    def told(self):
        store = self.store
        return (
            self.outcomes,
            store.counters(REGISTER),
            sorted((change.key, change.op, change.version) for change in store.changes(None, 1000)),
            [store.get(REGISTER, key) for key in KEYS],
        )

    def probe(self):
        """What graves do: for every key, the lowest version that is still taken."""
        found = {}
        for version in range(1, 14):
            for key in KEYS:
                if key not in found and self.owners[Slot.LIVE].send(upsert(key, version)).applied:
                    found[key] = version
        return found


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request, tmp_path):
    """Gives an empty store, as often as asked."""
    numbers = iter(range(10_000))
    url = request.getfixturevalue("postgres_database") if request.param == "postgres" else ""

    def make():
        if request.param == "sqlite":
            return site("sqlite", f"sqlite:///{tmp_path}/{next(numbers)}.db")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return site("postgres", url)

    return make


steps = st.one_of(
    st.builds(Step, st.just("apply"), batches),
    st.builds(Step, st.just("fill"), batches),
    st.sampled_from([Step("begin"), Step("finish")]),
)
few = settings(max_examples=40, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(story=st.lists(steps, max_size=12), ready=st.booleans())
def test_databases_do_as_the_twin_in_memory(fresh, story, ready):
    twin = Player(MemoryStore())
    with fresh() as place:
        player = Player(place.open([IDENTITY]))
        for step in [*([Step("begin"), Step("finish")] if ready else []), *story]:
            twin.play(step)
            player.play(step)
        assert player.told() == twin.told()
        assert_frame_equal(player.store.rows(REGISTER), twin.store.rows(REGISTER))
        assert player.probe() == twin.probe()


@few
@given(stream=st.lists(events, max_size=30), cuts=st.sets(st.integers(1, 29)), other_cuts=st.sets(st.integers(1, 29)))
def test_filling_comes_to_the_same_as_applying_however_it_is_cut(fresh, stream, cuts, other_cuts):
    applied = Player(MemoryStore())
    for batch in cut(stream, cuts):
        applied.play(Step("apply", batch))
    with fresh() as place:
        filled = Player(place.open([IDENTITY]))
        for step in (Step("begin"), *(Step("fill", batch) for batch in cut(stream, other_cuts)), Step("finish")):
            filled.play(step)
        assert_frame_equal(filled.store.rows(REGISTER), applied.store.rows(REGISTER))
        assert filled.probe() == applied.probe()


def cut(stream, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [tuple(stream[start:end]) for start, end in pairwise(edges)]
