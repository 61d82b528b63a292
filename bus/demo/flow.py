"""The demo, step by step: four agencies publish, two keep replicas, one person moves house, a form fills itself."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bus.cli import console, err
from bus.demo.commands import Shell, StepFailed
from bus.demo.exports import (
    CASE,
    CIVIL_STATUS,
    IDENTITY,
    OFFICES,
    REGISTRATION,
    RESIDENCE,
    Exports,
    Sizes,
    moved,
    mover,
    write_exports,
)
from bus.demo.form import fill
from bus.demo.places import Address
from bus.demo.proof import prove
from bus.demo.story import Filled, Plan, Story
from bus.demo.watching import postgres_look, seen_at, sqlite_look
from bus.local.ports import free_ports
from bus.local.progress import ConsoleReport
from bus.local.stack import LocalStack
from bus.local.status import StackStatus
from bus.names import AgencyCode, RegisterName

EQUAL_OR_NOT = (0, 1)
NEW_HOME = Address(detail="Số 12, đường Nguyễn Huệ (địa chỉ giả lập)", ward_code="26740")


HEALTH = Plan("health", AgencyCode("H29.4"), (IDENTITY, RESIDENCE, CIVIL_STATUS))
TAX = Plan("tax", AgencyCode("H29.6"), (REGISTRATION, IDENTITY, RESIDENCE, CASE))


class Demo:
    """Everything lies in one directory; everything started is stopped, unless it is to be kept."""

    def __init__(self, directory: Path, *, sizes: Sizes, seed: int) -> None:
        self.directory, self._sizes, self._seed = directory.absolute(), sizes, seed
        self.story = Story()
        self.bootstrap_servers = ""
        self.someone = ""
        """Personal ID of the synthetic person who moves house."""

    @contextmanager
    def stack(self, *, keep: bool) -> Iterator[StackStatus]:
        """A fresh Kafka and PostgreSQL."""
        _step("Start a real Kafka and a real PostgreSQL")
        for name in ("exports", "state", "replicas"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        stack = LocalStack(self.directory / "stack", postgres=True, report=ConsoleReport(err))
        try:
            yield stack.up(fresh=True)
        finally:
            if not keep:
                stack.down()

    def run(self, status: StackStatus, *, keep: bool) -> Story:
        """Play the whole story; what it comes to is in ``Story``. Raises StepFailed."""
        (self.directory / "replicas").mkdir(parents=True, exist_ok=True)
        self.bootstrap_servers = status.bootstrap_servers or ""
        shell = Shell({"LIENTHONG_KAFKA": self.bootstrap_servers}, self.directory / "replicas")
        _step("Make the topics and release the schemas")
        shell.run("topics", "apply", "--yes")
        shell.run("schemas", "publish")
        _step("Four agencies hand in their exports; some rows are broken on purpose")
        exports = write_exports(self.directory / "exports", self._seed, self._sizes)
        for name in OFFICES:
            self.story.reports[name] = self._publish(shell, exports, name)
        with ExitStack() as running:
            self._replicas(shell, status, running, keep=keep)
            exports = self._move_house(shell, exports)
            self._fill_form(shell)
            self._prove(shell, exports)
        return self.story

    def _publish(self, shell: Shell, exports: Exports, name: RegisterName) -> Any:
        export = exports.files[name]
        state = self.directory / "state" / export.agency
        return shell.ask("publish", "file", name, str(export.path), "--agency", export.agency, "--state", str(state))

    def _replicas(self, shell: Shell, status: StackStatus, running: ExitStack, *, keep: bool) -> None:
        _step("Two agencies build their replicas: health in SQLite, tax in PostgreSQL")
        databases = {HEALTH: f"sqlite:///{self._sqlite_file}", TAX: str(status.postgres_url)}
        ports = free_ports(len(databases))
        for (plan, database), port in zip(databases.items(), ports, strict=True):
            config = self._configure(plan, database, status, port)
            daemon = shell.start(plan.name, port, "replica", "run", "--config", str(config))
            if not keep:
                running.callback(daemon.stop)
            self.story.replicas.append(Filled(plan, daemon, config, database, 0))
        self.story.replicas = [_ready(each) for each in self.story.replicas]

    def _configure(self, plan: Plan, database: str, status: StackStatus, port: int) -> Path:
        registers = ", ".join(f'"{name}"' for name in plan.registers)
        config = self.directory / "replicas" / f"{plan.name}.toml"
        config.write_text(
            f'[replica]\nagency = "{plan.agency}"\nname = "{plan.name}"\ndatabase = "{database}"\n'
            f'registers = [{registers}]\n\n[kafka]\nbootstrap_servers = "{status.bootstrap_servers}"\n\n'
            f"[metrics]\nport = {port}\n",
            encoding="utf-8",
        )
        return config

    @property
    def _sqlite_file(self) -> Path:
        return self.directory / "replicas" / "health.db"

    def _move_house(self, shell: Shell, exports: Exports) -> Exports:
        _step("One person moves house; only the police are told")
        who = self.someone = mover(exports)
        after = moved(exports, who, NEW_HOME)
        tax = next(each for each in self.story.replicas if each.plan is TAX)
        with ExitStack() as stack, ThreadPoolExecutor(2) as watchers:
            looks = {
                HEALTH.name: stack.enter_context(sqlite_look(self._sqlite_file, who)),
                TAX.name: stack.enter_context(postgres_look(tax.database, who)),
            }
            seen = {name: watchers.submit(seen_at, look, NEW_HOME.detail) for name, look in looks.items()}
            self.story.move = self._publish(shell, after, RESIDENCE)
            recorded = _recorded_at(shell, who, self.story.replicas[0])
            self.story.arrivals = {name: _seconds(name, recorded, at.result()) for name, at in seen.items()}
        return after

    def _fill_form(self, shell: Shell) -> None:
        _step("A dossier's form is filled from the replica, not by the citizen")
        config = str(self.story.replicas[0].config)
        looked_up = shell.ask("lookup", "resident", self.someone, "--config", config)
        self.story.answers = list(fill(looked_up))

    def _prove(self, shell: Shell, exports: Exports) -> None:
        _step("Prove that both replicas equal what was published, row by row")
        for each in self.story.replicas:
            self.story.proofs[each.plan.name] = shell.ask(
                "replica", "compare", "--config", str(each.config), codes=EQUAL_OR_NOT
            )
            for name in each.plan.registers:
                lines = shell.run("replica", "export", name, "--config", str(each.config)).splitlines()
                valid, key_field = exports.files[name].valid, OFFICES[name].key_field
                self.story.verdicts[each.plan.name, name] = prove(valid, key_field, lines)


def _step(what: str) -> None:
    console.rule(f"[bold]{what}", align="left")


def _ready(each: Filled) -> Filled:
    return replace(each, seconds=each.daemon.wait_ready())


def _recorded_at(shell: Shell, personal_id: str, replica: Filled) -> datetime:
    """When the police's adapter recorded the move."""
    looked_up = shell.ask("lookup", "resident", personal_id, "--config", str(replica.config))
    field = next(each for each in looked_up["fields"] if each["name"] == "permanent_address")
    return datetime.fromisoformat(field["recorded_at"])


def _seconds(name: str, recorded: datetime, seen: datetime | None) -> float:
    if seen is None:
        raise StepFailed(f"the new address did not arrive at {name}")
    return (seen - recorded).total_seconds()
