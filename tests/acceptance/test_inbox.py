"""``lienthong inbox watch`` as an office uses it: put a file in, find it in done/ or failed/ with its report."""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from bus.cli import main
from bus.settings import KafkaSettings, RegistrySettings
from producers.inbox.cli import KEYS, watch
from producers.inbox.settings import InboxSettings, Metrics, Route
from tests.exports import export, people
from tests.producing import CASE, IDENTITY, WARD, events, person, prepare, registry_settings

COMMAND = str(Path(sys.executable).with_name("lienthong"))


@pytest.fixture
def office(kafka, topic_prefix, tmp_path):
    """The arguments of an inbox on a prepared bus, its folder the last of them."""
    asyncio.run(prepare(kafka, topic_prefix))
    (tmp_path / "inbox").mkdir()
    return arguments(kafka, topic_prefix, tmp_path)


def arguments(kafka, prefix, folder, *more):
    shared = ["--kafka", kafka, "--prefix", prefix, "--registry", registry_settings(prefix).topic, "--settle", "0"]
    return ["inbox", "watch", str(folder / "inbox"), "--state", str(folder / "state"), *shared, *more]


POLICE = ("--register", IDENTITY, "--agency", "H29.5")


def once(command, capsys):
    with pytest.raises(SystemExit) as exited:
        main([*command, "--once"])
    out, error = capsys.readouterr()
    assert "Traceback" not in error
    return int(exited.value.code or 0), out + error


def put(folder, rows, name, made):
    folder.mkdir(exist_ok=True)
    file = export(folder, rows, name)
    os.utime(file, (made, made))


def left(folder):
    """What lies in the inbox, in done/ and in failed/, without reports."""
    places = {"": folder, "done": folder / "done", "failed": folder / "failed"}
    return {
        place: sorted(p.name.partition("-")[2] or p.name for p in path.iterdir() if p.is_file() and p.suffix != ".json")
        for place, path in places.items()
    }


def test_files_are_published_in_order_and_each_lies_in_done_or_failed_with_its_report(
    office, kafka, topic_prefix, tmp_path, capsys
):
    inbox = tmp_path / "inbox"
    put(inbox, [person(1, full_name="Lê Sau"), person(2)], "a-later.csv", 2_000_000)
    put(inbox, [person(1), person(2), person(3, sex="boy")], "b-earlier.csv", 1_000_000)
    put(inbox, [person(1)], "half.csv.part", 1_000_000)
    (inbox / "d-broken.csv").write_text("shoes,socks\n")
    code, told = once([*office, *POLICE], capsys)
    assert (code, "1 of 3 files failed" in told) == (3, True)
    found = left(inbox)
    assert found.pop("failed") == ["d-broken.csv"]
    assert found == {
        "": [".inbox.lock", "half.csv.part"],
        "done": ["a-later.csv", "b-earlier.csv", "b-earlier.csv.quarantine.csv"],
    }
    states = [
        event.state["full_name"]
        for event in asyncio.run(events(kafka, topic_prefix))
        if event.key == person(1)["personal_id"]
    ]
    assert states == [person(1)["full_name"], "Lê Sau"]
    [report] = (inbox / "done").glob("*b-earlier.csv.report.json")
    assert json.loads(report.read_text(encoding="utf-8"))["refused"] == {"codes": 1}
    [report] = (inbox / "failed").glob("*.report.json")
    assert "no header" in json.loads(report.read_text(encoding="utf-8"))["message"]
    with pytest.raises(SystemExit):
        main(["quality", "history", "--state", str(tmp_path / "state"), "--json"])
    runs = json.loads(capsys.readouterr()[0])["runs"]
    assert [run["counters"]["rows"] for run in runs] == [2, 3]


@pytest.mark.parametrize("point", ["filediff.committed", "inbox.reported", "inbox.moved"])
def test_killed_inbox_loses_nothing_and_sends_nothing_twice(office, kafka, topic_prefix, tmp_path, capsys, point):
    inbox = tmp_path / "inbox"
    put(inbox, people(20), "first.csv", 1_000_000)
    put(inbox, [person(n, full_name="Lê Đổi") for n in range(5)], "second.csv", 2_000_000)
    command = [COMMAND, *office, *POLICE, "--max-delete-share", "1", "--once"]
    armed = os.environ | {"LIENTHONG_CRASH_AT": point}
    killed = subprocess.run(command, env=armed, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert once([*office, *POLICE, "--max-delete-share", "1"], capsys)[0] == 0
    assert left(inbox) == {"": [".inbox.lock"], "done": ["first.csv", "second.csv"], "failed": []}
    found = asyncio.run(events(kafka, topic_prefix))
    ops = Counter((event.op.value, event.key) for event in found)
    assert (len(found), set(ops.values())) == (20 + 5 + 15, {1, 2})


def test_corrected_quarantine_file_is_put_back_into_the_inbox_as_it_is(office, kafka, topic_prefix, tmp_path, capsys):
    inbox = tmp_path / "inbox"
    command = [*office, *POLICE, "--pattern", "identity*", "--format", "tsv"]
    rows = [*people(5), person(6, sex="boy"), person(7, sex="lad")]
    export(inbox, rows, "identity.tsv", delimiter="\t")
    assert once(command, capsys)[0] == 0
    for wrong, right in (("boy", "male"), ("lad", "male")):
        [quarantine] = sorted((inbox / "done").glob("*quarantine.csv"))[-1:]
        text = quarantine.read_text(encoding="utf-8")
        quarantine.unlink()
        (inbox / quarantine.name).write_text(text.replace(wrong, right), encoding="utf-8")
        assert once(command, capsys)[0] == 0
    found = asyncio.run(events(kafka, topic_prefix))
    assert sorted(event.key for event in found) == sorted(row["personal_id"] for row in rows)
    assert left(inbox)[""] == [".inbox.lock"]


def test_file_whose_deletes_want_to_be_confirmed_is_published_from_failed(
    office, kafka, topic_prefix, tmp_path, capsys
):
    inbox = tmp_path / "inbox"
    for count, code in ((10, 0), (7, 3)):
        put(inbox, people(count), "night.csv", 1_000_000 + 10 - count)
        assert once([*office, *POLICE], capsys)[0] == code
    [file] = (inbox / "failed").glob("*night.csv")
    [report] = (inbox / "failed").glob("*.report.json")
    assert "3 of 10 published subjects are not in it" in json.loads(report.read_text(encoding="utf-8"))["message"]
    shared = office[office.index("--state") : office.index("--settle")]
    with pytest.raises(SystemExit) as exited:
        main(["publish", "file", IDENTITY, str(file), "--agency", "H29.5", *shared, "--confirm-deletes"])
    assert not exited.value.code
    assert Counter(event.op.value for event in asyncio.run(events(kafka, topic_prefix))) == {"UPSERT": 10, "DELETE": 3}


def test_several_registers_go_by_folder_and_pattern_of_a_config_file(kafka, topic_prefix, tmp_path, capsys):
    asyncio.run(prepare(kafka, topic_prefix, [IDENTITY, CASE]))
    inbox = tmp_path / "inbox"
    config = tmp_path / "inbox.toml"
    config.write_text(
        f'agency = "H29.5"\nprefix = "{topic_prefix}"\nstate = "{tmp_path}/state"\nsettle_seconds = 0\n'
        f'kafka.bootstrap_servers = "{kafka}"\nregistry.topic = "{topic_prefix}-schemas"\n'
        f'[[route]]\nregister = "{IDENTITY}"\npattern = "identity*"\ndelimiter = ";"\n'
        f'[[route]]\nregister = "{CASE}"\nfolder = "ward"\nagency = "{WARD}"\n'
    )
    case = {"dossier_code": f"{WARD}-260706-0001", "procedure_code": "1.000656", "applicant_kind": "citizen"}
    case |= {"received_at": "20260706083000", "status": "2", "agency_code": WARD}
    put(inbox, [case], "unknown.csv", 1)
    (inbox / "ward").mkdir()
    put(inbox / "ward", [case], "cases.csv", 1_000_000)
    export(inbox, people(3), "Identity-07.csv", delimiter=";")
    code, told = once(["inbox", "watch", str(inbox), "--config", str(config)], capsys)
    assert (code, "file_unknown" in told) == (0, True)
    assert left(inbox)["done"] == ["Identity-07.csv"]
    assert left(inbox)[""] == [".inbox.lock", "unknown.csv"]
    assert left(inbox / "ward")["done"] == ["cases.csv"]
    assert len(asyncio.run(events(kafka, topic_prefix))) == 3
    assert len(asyncio.run(events(kafka, topic_prefix, CASE, WARD))) == 1


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (["--partial"], "--partial (there: partial under [[route]])"),
        (["--max-delete-share", "0.2"], "--max-delete-share (there: max_delete_share under [[route]])"),
        (["--kafka", "b:1", "--settle", "3"], "--settle (there: settle_seconds), --kafka (there: bootstrap_servers"),
    ],
)
def test_option_that_a_config_file_would_outrank_is_refused_with_its_place_in_the_file(
    tmp_path, capsys, options, place
):
    config = tmp_path / "inbox.toml"
    config.write_text(f'agency = "H29.5"\n[[route]]\nregister = "{IDENTITY}"\n')
    code, told = once(["inbox", "watch", str(tmp_path), "--config", str(config), *options], capsys)
    assert (code, place in told) == (3, True), told


def test_every_option_of_the_watcher_is_a_key_of_the_file_or_about_the_run_alone():
    keys = set(inspect.signature(watch).parameters) - {"context", "directory", "config", "metrics_file", "once"}
    assert set(KEYS) == keys
    tables = {"": InboxSettings, "[[route]]": Route, "[metrics]": Metrics}
    tables |= {"[kafka]": KafkaSettings, "[registry]": RegistrySettings}
    for option in keys - {"cluster_file"}:
        names, _, table = KEYS[option].partition(" under ")
        assert set(names.split(" or ")) <= {f.alias or name for name, f in tables[table].model_fields.items()}


def test_wrong_settings_and_a_broker_that_is_away_are_named_and_leave_the_files_where_they_are(tmp_path, capsys):
    inbox = tmp_path / "inbox"
    put(inbox, people(1), "a.csv", 1)
    command = arguments("127.0.0.1:1", "away", tmp_path)
    for options, code, cause in (
        ((), 3, "--register and --agency"),
        (("--register", "resident.shoes", "--agency", "H29.5"), 3, "no such register"),
        (("--register", IDENTITY, "--agency", "H29.6"), 3, "may not write"),
        ((*POLICE, "--delimiter", "ab"), 3, "delimiter"),
        (POLICE, 4, "127.0.0.1:1"),
    ):
        found, told = once([*command, *options], capsys)
        assert (found, cause in told) == (code, True), told
    assert "a.csv" in left(inbox)[""]


def test_wrong_key_of_a_route_is_all_that_is_told(tmp_path, capsys):
    config = tmp_path / "inbox.toml"
    config.write_text(f'agency = "H29.5"\n[[route]]\nregister = "{IDENTITY}"\ndelimitre = ";"\n')
    code, told = once(["inbox", "watch", str(tmp_path), "--config", str(config)], capsys)
    assert (code, "route.0.delimitre: " in told, "at least 1" in told) == (3, True, False), told


def test_mistyped_folder_is_refused_and_not_made(tmp_path, capsys):
    code, told = once([*arguments("127.0.0.1:1", "mistyped", tmp_path), *POLICE], capsys)
    assert (code, f"{tmp_path}/inbox: no such folder" in told.replace("\n", "")) == (3, True), told
    assert list(tmp_path.iterdir()) == []


def test_daemon_takes_what_comes_in_answers_probes_and_ends_on_sigterm(office, kafka, topic_prefix, tmp_path):
    inbox = tmp_path / "inbox"
    command = [COMMAND, *office, *POLICE, "--poll", "0.1", "--metrics-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            port = json.loads(daemon.stderr.readline())["metrics_port"]
            (inbox / "a.csv.part").write_text("personal_id\n")
            put(inbox, people(3), "b.csv", 1_000_000)
            told = json.loads(daemon.stderr.readline())
            while told["event"] == "run_told":
                told = json.loads(daemon.stderr.readline())
            assert (told["event"], told["rows"], told["events"]) == ("file_published", 3, 3)
            assert answers(f"http://127.0.0.1:{port}/livez") == 200
            assert ready_within(f"http://127.0.0.1:{port}/readyz", 10)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
                metrics = page.read().decode()
            for line in ('inbox_files_total{outcome="done",register="resident.identity"} 1.0', "rows_read_total"):
                assert line in metrics
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=20) == 0
        finally:
            daemon.kill()
    assert left(inbox) == {"": [".inbox.lock", "a.csv.part"], "done": ["b.csv"], "failed": []}


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as page:  # noqa: S310 - our own address
            return page.status
    except urllib.error.HTTPError as error:
        return error.code


def ready_within(url, seconds):
    deadline = time.monotonic() + seconds
    while answers(url) != 200:
        if time.monotonic() > deadline:
            return False
    return True
