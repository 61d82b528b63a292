import re
import shutil
import subprocess
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from bus import errors, metrics
from bus.catalog import load_catalog
from bus.cli.app import app
from bus.settings import load_toml
from consumers.settings import ReplicaSection, ReplicaSettings
from producers.capture.follow.settings import FollowSettings
from producers.inbox.settings import InboxSettings
from producers.outbox.relay.settings import RelaySettings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
EXAMPLE = DEPLOY / "replica.example.toml"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
FINAL = {
    "replica": (errors.InputRefused, errors.Fenced, errors.ClusterMismatch),
    "outbox": (errors.InputRefused, errors.ClusterMismatch),
    "capture": (errors.InputRefused, errors.ConfirmationNeeded, errors.ClusterMismatch, errors.LagExceeded),
    "inbox": (errors.InputRefused, errors.ClusterMismatch),
}
"""What no restart mends, by unit."""
DRAIN_SECONDS = {
    "replica": ReplicaSection.model_fields["drain_seconds"].default,
    "outbox": RelaySettings.model_fields["drain_seconds"].default,
    "capture": FollowSettings.model_fields["drain_seconds"].default,
    "inbox": InboxSettings.model_fields["drain_seconds"].default,
}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if not found:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    return found


@pytest.fixture
def systemd_analyze() -> str:
    found = shutil.which("systemd-analyze")
    if not found:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    return found


@pytest.fixture(params=FINAL)
def name(request) -> str:
    return request.param


@pytest.fixture
def path(name) -> Path:
    return DEPLOY / "systemd" / f"lienthong-{name}@.service"


@pytest.fixture
def unit(path) -> ConfigParser:
    return parsed(path)


def parsed(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(path, encoding="utf-8")
    return parser


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.full
def test_promtool_accepts_the_alerts(promtool):
    run(promtool, "check", "rules", str(ALERTS))


@pytest.mark.full
def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(promtool):
    run(promtool, "test", "rules", str(Path(__file__).with_name("alerts_test.yml")))


def test_alerts_name_only_metrics_that_are_exposed():
    exposed = {
        f"{family.name}{suffix}"
        for family in REGISTRY.collect()
        if family.name.startswith("lienthong_")
        for suffix in {"gauge": [""], "counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}[family.type]
    }
    named = set(re.findall(r"lienthong_[a-z_]+", ALERTS.read_text("utf-8"))) - {"lienthong_apply_seconds"}
    assert named
    assert named <= exposed
    assert metrics.apply_seconds.describe()[0].name == "lienthong_apply_seconds"


def test_example_configuration_loads_with_registers_of_the_catalogue():
    settings, catalog = load_toml(EXAMPLE, ReplicaSettings), load_catalog()
    catalog.agency(settings.replica.agency)
    for name in settings.replica.registers:
        catalog.register(name)


def test_example_configuration_shows_no_default_but_the_true_one():
    given = tomllib.loads(EXAMPLE.read_text("utf-8"))
    fields = ReplicaSettings.model_fields
    assert given["retention"] == fields["retention"].default.model_dump()
    assert given["metrics"] == fields["metrics"].default.model_dump()


def test_example_configuration_has_every_key_and_those_commented_out_with_their_defaults():
    text = EXAMPLE.read_text("utf-8")
    shown = tomllib.loads(re.sub(r"^# (?=(?!database)\w+ = )", "", text, flags=re.MULTILINE))
    models = {name: field.annotation.model_fields for name, field in ReplicaSettings.model_fields.items()}
    assert {table: set(keys) for table, keys in shown.items()} == {table: set(keys) for table, keys in models.items()}
    given = tomllib.loads(text)
    hidden = {(table, key) for table in shown for key in shown[table].keys() - given[table].keys()}
    defaults = {(table, key): models[table][key].default for table, key in hidden}
    assert {at for at in hidden if defaults[at] not in {shown[at[0]][at[1]], None}} == {("replica", "group")}


def test_a_stop_ends_by_itself_before_systemd_kills(name, unit):
    assert float(unit["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS[name] + 10


def test_unit_gives_up_on_errors_that_no_restart_mends_and_only_on_them(name, unit):
    final = {int(code) for code in unit["Service"]["RestartPreventExitStatus"].split()}
    assert final == {error.exit_code for error in FINAL[name]}
    assert errors.Unavailable.exit_code not in final


def test_unit_starts_a_command_that_exists(unit):
    program, *words = unit["Service"]["ExecStart"].split()
    options = [word for word in words if word.startswith("--")]
    shown = CliRunner().invoke(
        app, [*words[: words.index(options[0])], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert Path(program).name == "lienthong"
    assert shown.exit_code == 0
    assert all(option in shown.output for option in options)


def test_what_a_unit_takes_from_its_environment_stands_at_its_top(path, unit):
    head = path.read_text("utf-8").split("[Unit]")[0]
    assert all(word in head for word in re.findall(r"\$\{(\w+)\}", unit["Service"]["ExecStart"]))


def test_units_are_hardened_alike(unit):
    first = parsed(DEPLOY / "systemd" / "lienthong-replica@.service")["Service"]
    hardening = [key for key in first if re.match(r"Protect|Private|Restrict|System|Lock|Capability|NoNew|UMask", key)]
    assert len(hardening) > 15
    assert {key: unit["Service"].get(key) for key in hardening} == {key: first[key] for key in hardening}


def test_unit_may_write_where_the_example_writes():
    unit = parsed(DEPLOY / "systemd" / "lienthong-replica@.service")
    settings = load_toml(EXAMPLE, ReplicaSettings)
    instance = settings.replica.name
    state, cache = (
        f"/{base}/{unit['Service'][key]}/".replace("%i", instance)
        for base, key in (("var/lib", "StateDirectory"), ("var/cache", "CacheDirectory"))
    )
    assert settings.replica.database.removeprefix("sqlite:///").startswith(state)
    assert f"{settings.registry.cache_dir}/".startswith(cache)


@pytest.mark.full
def test_systemd_accepts_the_unit(systemd_analyze, tmp_path, path):
    instance = tmp_path / path.name.replace("@", "@health")
    instance.write_text(path.read_text("utf-8").replace("/opt/lienthong/bin/lienthong", "/bin/true"), encoding="utf-8")
    run(systemd_analyze, "verify", "--man=no", str(instance))


def test_readme_names_every_file_that_is_there():
    readme = (DEPLOY / "README.md").read_text("utf-8")
    files = [path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "README.md"]
    assert files
    assert all(path.relative_to(DEPLOY).as_posix() in readme for path in files)
