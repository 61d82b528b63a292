import pytest

from bus.catalog import Catalog, load_catalog
from bus.errors import ClusterMismatch
from bus.names import TopicName
from bus.topics import check_partitions, show
from bus.topics.facts import MISSING, TopicFacts
from bus.topics.plan import Plan, dead_letter_topic, plan, wanted_topics

IDENTITY = TopicName("city.resident.identity")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def planned(catalog: Catalog, found: dict[TopicName, TopicFacts], register="resident.identity", brokers=3) -> Plan:
    return plan(wanted_topics(catalog, [catalog.register(register)], brokers), found)


def as_wanted(catalog: Catalog, **changes) -> TopicFacts:
    (topic,) = wanted_topics(catalog, [catalog.register("resident.identity")], 3)
    facts = {"topic_id": "a", "partitions": topic.partitions, "replication": 3, "config": dict(topic.config)}
    return TopicFacts(**{**facts, **changes})


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")])
def test_copies_and_min_insync_follow_the_number_of_brokers(catalog, brokers, copies, in_sync):
    (topic,) = wanted_topics(catalog, [catalog.register("resident.identity")], brokers)
    assert (topic.replication, topic.config["min.insync.replicas"]) == (copies, in_sync)


def test_register_of_every_agency_has_a_topic_per_agency(catalog):
    topics = wanted_topics(catalog, [catalog.register("dossier.case")], 1)
    assert {topic.name for topic in topics} == {f"city.dossier.case.{agency}" for agency in catalog.agencies}


def test_dead_letters_are_compacted_by_origin_and_kept_a_week(catalog):
    topic = dead_letter_topic(catalog, brokers=3)
    assert (topic.name, topic.partitions, topic.replication) == ("city.dead-letters", 1, 3)
    week = str(7 * 24 * 3_600_000)
    assert topic.config["cleanup.policy"] == "compact,delete"
    assert {topic.config[key] for key in ("retention.ms", "delete.retention.ms")} == {week}
    assert int(topic.config["max.message.bytes"]) > 1_048_588  # Kafka's default for the registers' topics


def test_dead_letter_topic_may_have_any_number_of_partitions(catalog):
    there = TopicFacts("a", 6, 3, dict(dead_letter_topic(catalog, 3).config))
    topic = dead_letter_topic(catalog, 3, there)
    assert plan([topic], {topic.name: there}) == Plan(unchanged=1)


def test_missing_topic_is_created(catalog):
    made = planned(catalog, {IDENTITY: MISSING})
    assert [topic.name for topic in made.create] == [IDENTITY]
    assert made.pending


def test_topic_as_wanted_leaves_nothing_to_do(catalog):
    made = planned(catalog, {IDENTITY: as_wanted(catalog)})
    assert not made.pending
    assert made == Plan(unchanged=1)


def test_differing_setting_is_altered_and_others_are_left_alone(catalog):
    config = {**as_wanted(catalog).config, "cleanup.policy": "delete", "segment.bytes": "1"}
    made = planned(catalog, {IDENTITY: as_wanted(catalog, config=config)})
    assert [(each.key, each.found, each.wanted) for each in made.alter] == [("cleanup.policy", "delete", "compact")]


def test_partition_count_is_never_altered(catalog):
    made = planned(catalog, {IDENTITY: as_wanted(catalog, partitions=3)})
    assert not made.pending
    assert [(each.what, each.found, each.wanted) for each in made.mismatched] == [("partitions", 3, 12)]


def test_replication_factor_is_a_warning_only(catalog):
    made = planned(catalog, {IDENTITY: as_wanted(catalog, replication=1)})
    assert [each.what for each in made.stuck] == ["replication"]
    assert not made.mismatched


def test_foreign_topics_are_nobodys_business(catalog):
    found = {IDENTITY: as_wanted(catalog), TopicName("payroll"): TopicFacts("b", 1)}
    assert planned(catalog, found) == Plan(unchanged=1)


def test_diff_shows_what_is_made_altered_and_stuck(catalog):
    config = {**as_wanted(catalog).config, "cleanup.policy": "delete"}
    text = "\n".join(show.lines(planned(catalog, {IDENTITY: as_wanted(catalog, config=config, partitions=3)})))
    assert "~ city.resident.identity\n    cleanup.policy: delete -> compact" in text
    assert "! city.resident.identity has 3 partitions, the catalogue says 12" in text
    assert text.endswith("Plan: 0 to create, 1 to alter, 1 that cannot be altered; 0 unchanged.")
    assert next(show.lines(planned(catalog, {}))) == "+ city.resident.identity: 12 partitions, 3 copies"


def test_partitions_that_agree_pass(catalog):
    check_partitions(catalog.register("resident.identity"), {IDENTITY: TopicFacts("a", 12)})


def test_missing_topic_names_the_remedy(catalog):
    with pytest.raises(ClusterMismatch, match=r"no topic city\.resident\.identity.*lienthong topics apply"):
        check_partitions(catalog.register("resident.identity"), {IDENTITY: MISSING})


def test_other_partition_count_is_refused(catalog):
    with pytest.raises(ClusterMismatch, match="has 3 partitions, the catalogue says 12"):
        check_partitions(catalog.register("resident.identity"), {IDENTITY: TopicFacts("a", 3)})
