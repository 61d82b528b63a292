"""``lienthong parked`` as people run it, and every command of docs/parked.md as it stands."""

import asyncio
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest

from bus import errors
from bus.cli import main
from tests.consuming import Feed, catch_up, counters, held, replica_settings, upsert
from tests.parking import GARBAGE, Future, config_file, make_dead_letter_topic, parked_in
from tests.producing import IDENTITY, person, prepare, records

PAGE = (Path(__file__).parents[2] / "docs" / "parked.md").read_text(encoding="utf-8")
SECRET = person(7)["personal_id"]


@pytest.fixture
def lienthong(capsys, monkeypatch):
    """Runs a command; gives exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        out, error = capsys.readouterr()
        return int(exited.value.code or 0), out, error

    return run


class Replica:
    """A replica with two good rows, one event of garbage and two of a schema that is not released yet."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self.kafka, self.prefix = kafka, prefix
        self.feed = Feed(kafka, prefix)
        self.future = Future(self.feed, prefix)
        self.settings = replica_settings(kafka, prefix, f"sqlite:///{folder}/replica.db", [IDENTITY])
        self.config = str(config_file(folder / "replica.toml", self.settings))

    async def fill(self) -> None:
        await prepare(self.kafka, self.prefix)
        await self.feed.send([upsert(1, 10), upsert(2, 10)])
        await self.feed.send_raw(SECRET.encode(), GARBAGE)
        await self.future.send(upsert(1, 5, contact=None), upsert(3, 10, contact=None))
        await catch_up(self.settings)

    @property
    def origins(self) -> dict[str, str]:
        return {each.reason: str(each.origin) for each in parked_in(self.settings)}


@pytest.fixture
def replica(kafka, topic_prefix, tmp_path):
    found = Replica(kafka, topic_prefix, tmp_path)
    asyncio.run(found.fill())
    return found


def test_list_and_show_tell_all_but_who_it_is(replica, lienthong):
    code, out, error = lienthong("parked", "list", "--config", replica.config)
    assert (code, out.count("schema_unknown"), out.count("body_invalid")) == (0, 2, 1)
    assert "3 shown of 3 parked; 3 not in the dead-letter topic yet" in error
    code, shown, _ = lienthong("parked", "show", replica.origins["body_invalid"], "--config", replica.config)
    assert code == 0
    assert f"{replica.feed.topic}" in shown
    assert SECRET not in out + error + shown
    assert "garbage" not in shown


def test_list_narrows_down_and_pages(replica, lienthong):
    def listed(*more: str):
        code, out, _ = lienthong("parked", "list", "--config", replica.config, "--json", *more)
        assert code == 0
        return json.loads(out)

    assert [each["reason"] for each in listed("--reason", "body_invalid")["events"]] == ["body_invalid"]
    assert listed("--since", "2999-01-01")["events"] == []
    assert len(listed("--until", "2999-01-01", "--register", IDENTITY)["events"]) == 3
    first = listed("--limit", "2")
    rest = listed("--limit", "2", "--after", first["next"])
    assert [len(first["events"]), len(rest["events"]), rest["next"]] == [2, 1, None]
    assert {each["reason"]: each["events"] for each in first["counts"]} == {"body_invalid": 1, "schema_unknown": 2}


def test_bytes_are_shown_only_when_asked_for(replica, lienthong):
    where = ("parked", "show", replica.origins["body_invalid"], "--config", replica.config, "--bytes")
    code, out, _ = lienthong(*where)
    assert code == 0
    assert GARBAGE.hex(" ") in out
    told = json.loads(lienthong(*where, "--json")[1])
    assert (b64decode(told["key"]), b64decode(told["value"])) == (SECRET.encode(), GARBAGE)


def test_replay_says_what_still_stands_and_what_became_of_the_rest(replica, lienthong):
    command = ("parked", "replay", "--all", "--config", replica.config)
    code, out, _ = lienthong(*command)
    assert (code, "still parked: 1 body_invalid, 2 schema_unknown" in out) == (1, True)
    asyncio.run(replica.future.come())
    code, out, _ = lienthong(*command, "--dry-run")
    assert "would be: 1 applied, 1 stale, 0 superseded; still parked: 1 body_invalid" in out
    assert len(parked_in(replica.settings)) == 3
    code, out, _ = lienthong(*command, "--reason", "schema_unknown", "--json")
    assert (code, json.loads(out)["still_parked"]) == (0, {})
    assert {row["version"] for row in held(replica.settings).values()} == {10}
    assert counters(replica.settings) == {"applied": 3, "stale": 1, "parked": 1}
    (left,) = parked_in(replica.settings)
    assert (left.reason, left.replays) == ("body_invalid", 1)


def test_replay_by_database_url_takes_cluster_and_prefix_from_options(replica, lienthong):
    asyncio.run(replica.future.come())
    where = ("--database", replica.settings.replica.database, "--kafka", replica.kafka)
    code, _, error = lienthong(
        "parked", "replay", replica.origins["schema_unknown"], *where,
        "--prefix", replica.prefix, "--registry", replica.settings.registry.topic,
    )  # fmt: skip
    assert code == 0, error
    assert len(parked_in(replica.settings)) == 2


def test_dismiss_asks_first(replica, lienthong):
    command = ("parked", "dismiss", "--reason", "body_invalid", "--config", replica.config)
    code, _, error = lienthong(*command)
    assert (code, "--yes" in error) == (5, True)
    assert len(parked_in(replica.settings)) == 3
    assert lienthong(*command, "--yes")[:2] == (0, "1 dismissed\n")
    assert "body_invalid" not in replica.origins


def test_forward_names_a_missing_topic_and_then_copies_each_event_once(replica, lienthong):
    command = ("parked", "forward", "--once", "--config", replica.config)
    code, _, error = lienthong(*command)
    assert (code, "lienthong topics apply" in error) == (7, True)
    topic = asyncio.run(make_dead_letter_topic(replica.feed.kafka, replica.prefix))
    assert lienthong(*command)[:2] == (0, "3 forwarded, 0 wait\n")
    assert lienthong(*command)[:2] == (0, "0 forwarded, 0 wait\n")
    assert len(asyncio.run(records(replica.kafka, topic))) == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list",), 3),
        (("list", "--config", "CONFIG", "--register", "code.ward"), 3),
        (("list", "--config", "CONFIG", "--since", "yesterday"), 3),
        (("show", "nonsense", "--config", "CONFIG"), 3),
        (("show", "AAAA/0/0", "--config", "CONFIG"), 1),
        (("replay", "--config", "CONFIG"), 3),
        (("replay", "AAAA/0/0", "--reason", "owner_wrong", "--config", "CONFIG"), 3),
        (("replay", "AAAA/0/0", "--config", "CONFIG"), 0),
        (("dismiss", "--config", "CONFIG"), 3),
        (("forward", "--config", "CONFIG"), 3),
        (("list", "--database", "sqlite:////nowhere/replica.db"), 4),
        (("dismiss", "--all", "--database", "sqlite:////nowhere/replica.db", "--yes"), 4),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(replica, lienthong, arguments, code):
    told = lienthong("parked", *(replica.config if each == "CONFIG" else each for each in arguments))
    assert told[0] == code
    assert told[2].count("\n") <= 1


def test_database_that_is_no_url_is_told_by_a_name_that_holds_for_option_and_key(lienthong):
    code, _, error = lienthong("parked", "list", "--database", "c.db")
    assert (code, "replica.database" in error, "database: not a URL of a store; write sqlite:///" in error) == (
        3,
        False,
        True,
    )


@pytest.mark.parametrize("command", [["parked", "list"], ["lookup", "resident", "x"]])
def test_typed_config_counts_before_the_environments_database_and_two_typed_are_refused(
    lienthong, tmp_path, monkeypatch, command
):
    missing = str(tmp_path / "replica.toml")
    both = lienthong(*command, "--config", missing, "--database", "sqlite:///a.db")
    monkeypatch.setenv("LIENTHONG_DATABASE", "sqlite:////nowhere/replica.db")
    typed, environment = lienthong(*command, "--config", missing), lienthong(*command)
    assert [code for code, _, _ in (both, typed, environment)] == [3, 3, 4]
    assert "each name a replica" in both[2]
    assert "no such file" in typed[2]


@pytest.mark.parametrize("option", ["--kafka", "--cluster", "--registry", "--catalog", "--prefix"])
def test_replay_refuses_what_its_config_file_would_outrank(lienthong, tmp_path, option):
    code, _, error = lienthong("parked", "replay", "--all", "--config", str(tmp_path / "replica.toml"), option, "x")
    assert (code, f"{option} (there: " in error) == (3, True), error


def test_every_command_of_the_page_runs_as_it_stands(replica, lienthong):
    asyncio.run(make_dead_letter_topic(replica.feed.kafka, replica.prefix))
    asyncio.run(replica.future.come())
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    origin = replica.origins["body_invalid"]
    for line in block.splitlines():
        words = line.split("#")[0].replace("ORIGIN", origin).replace("replica.toml", replica.config).split()[1:]
        code, _, error = lienthong(*words)
        assert code == (1 if "--dry-run" in words else 0), f"{line}: {error}"
    assert parked_in(replica.settings) == []


def test_page_names_every_reason_and_the_header_names():
    reasons = {kind.reason for kind in errors.EventRefused.__subclasses__()} | {"database_constraint"}
    assert all(f"| `{reason}` |" in PAGE for reason in reasons)
