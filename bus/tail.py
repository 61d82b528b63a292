"""``lienthong tail``: a register's events as they come, personal fields masked."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from bus import codec, wire
from bus import kafka as clients
from bus.catalog import Catalog, Register, load_catalog
from bus.cli import console, err
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    Cluster,
    ClusterOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.errors import ClusterMismatch, EventRefused
from bus.event import MARKER_KEY, Event
from bus.headers import read_tombstone
from bus.log import masked
from bus.names import SchemaId
from bus.registry import Schema, SchemaRegistry, open_registry
from bus.topics import describe

app = typer.Typer(add_completion=False)

Row = dict[str, Any]

HIDDEN = "***"
POLL_MS = 200


@app.command()
def tail(
    register: Annotated[str, typer.Argument(metavar="REGISTER")],
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="What is there first, then what comes.")
    ] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at what is the end now.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Stop after N records.")] = None,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show personal and sensitive fields as they are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for scripts.")] = False,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Show a register's events as they come; Ctrl-C ends."""
    known = load_catalog(catalog, prefix=prefix)
    told = cluster(kafka, registry, cluster_file)
    source = _Source(known, known.register(register), told, from_beginning=from_beginning, until_end=until_end)
    asyncio.run(_show(source, limit, unmask=unmask, as_json=as_json))


async def _show(source: "_Source", limit: int | None, *, unmask: bool, as_json: bool) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with (
        open_registry(source.cluster.registry, source.cluster.kafka) as registry,
        aclosing(source.records(stop)) as records,
    ):
        reader = Reader(source.register, registry, unmask=unmask)
        shown = 0
        async for record in records:
            row = await reader.row(record)
            text = json.dumps(row, ensure_ascii=False, default=str) if as_json else line(row)
            console.print(text, markup=False, highlight=False)
            shown += 1
            if shown == limit:
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The committed records of all topics of a register."""

    catalog: Catalog = field(kw_only=False)
    register: Register = field(kw_only=False)
    cluster: Cluster = field(kw_only=False)
    from_beginning: bool
    until_end: bool

    async def records(self, stop: asyncio.Event) -> AsyncGenerator[ConsumerRecord, None]:
        """Until the end where so told, else until ``stop`` is set."""
        settings = self.cluster.kafka
        async with clients.consumer(settings) as consumer:
            with clients.told_plainly(settings):
                ends = await self._placed(consumer, await self._partitions())
                err.print(f"following {self.register.name}; Ctrl-C ends", highlight=False)
                while not stop.is_set() and not (self.until_end and await _reached(consumer, ends)):
                    for partition, batch in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                        for record in batch:
                            if not stop.is_set() and not (self.until_end and record.offset >= ends[partition]):
                                yield record

    async def _placed(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Give the consumer its partitions and first offsets; where each partition ends now."""
        consumer.assign(partitions)
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
        if self.from_beginning:
            await consumer.seek_to_beginning()
        for partition, end in () if self.from_beginning else ends.items():
            consumer.seek(partition, end)
        return ends

    async def _partitions(self) -> list[TopicPartition]:
        facts = await describe(clients.admin(self.cluster.kafka), list(self.catalog.topics(self.register)))
        found = [TopicPartition(name, number) for name, fact in facts.items() for number in range(fact.partitions)]
        if not found:
            raise ClusterMismatch(
                f"{self.register.name}: no topic {' or '.join(facts)}; make it with: lienthong topics apply"
            )
        return found


async def _reached(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns records into rows of plain values; without ``unmask``, none of them is personal."""

    register: Register
    registry: SchemaRegistry
    unmask: bool = False
    _parsed: dict[SchemaId, codec.ParsedSchema] = field(default_factory=dict)

    async def row(self, record: ConsumerRecord) -> Row:
        """One record; one that cannot be read is a row that says why."""
        where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        if record.key == MARKER_KEY:
            return {"op": "MARKER", **where}
        try:
            return {**await self._said(record), **where}
        except EventRefused as error:
            told = {"reason": error.reason, "told": str(error)}
            return {"op": "REFUSED", "key": self._key((record.key or b"").decode(errors="replace")), **told, **where}

    async def _said(self, record: ConsumerRecord) -> Row:
        if record.value is None:
            found = read_tombstone(record.headers)
            key = self._key((record.key or b"").decode(errors="replace"))
            return {"op": "TOMBSTONE", "key": key, "version": found.version, "source": found.source}
        schema_id, body = wire.split(record.value)
        schema = await self.registry.schema(schema_id)
        if schema_id not in self._parsed:
            self._parsed[schema_id] = codec.parse(schema)
        return self._event(codec.decode(self.register.name, body, self._parsed[schema_id]), schema)

    def _event(self, event: Event, schema: Schema) -> Row:
        row: Row = {
            "recorded_at": event.recorded_at,
            "op": str(event.op),
            "key": self._key(event.key),
            "version": event.version,
            "source": event.source,
        }
        if event.replaced_by is not None:
            row["replaced_by"] = self._key(event.replaced_by)
        if event.state is not None:
            row["state"] = event.state if self.unmask else covered(event.state, _state(schema), dict(_records(schema)))
        return row

    def _key(self, key: str) -> str:
        return key if self.unmask or self.register.sensitivity == "none" else masked(key)


def _state(schema: Schema) -> Any:
    return next((each["type"] for each in schema["fields"] if each["name"] == "state"), None)


def covered(value: Any, avro: Any, named: Mapping[str, Any]) -> Any:
    """A value of this type without what is personal: where the schema does not say ``none``, all of it is hidden."""
    if isinstance(avro, list):
        avro = next((branch for branch in avro if branch != "null"), None)
    if isinstance(avro, str):
        avro = named.get(avro.rpartition(".")[2])
    if isinstance(value, list) and isinstance(avro, dict):
        return [covered(item, avro.get("items"), named) for item in value]
    if isinstance(value, Mapping) and isinstance(avro, dict):
        fields = {each["name"]: each for each in avro.get("fields", ())}
        return {name: _field(inner, fields.get(name, {}), named) for name, inner in value.items()}
    return HIDDEN if isinstance(value, Mapping | list) else value


def _field(value: Any, avro: Mapping[str, Any], named: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    return covered(value, avro.get("type"), named) if avro.get("pii") == "none" else HIDDEN


def _records(avro: Any) -> Iterator[tuple[str, Any]]:
    """Every record that a schema writes out, by its name, so that a later mention of it can be looked up."""
    for part in avro if isinstance(avro, list) else [avro]:
        if isinstance(part, dict):
            if part.get("type") == "record":
                yield part["name"], part
            for inner in (*part.get("fields", ()), part.get("items"), part.get("type")):
                yield from _records(inner)


def line(row: Row) -> str:
    """A row for people: when, what, whose, and the fields that have a value."""
    when = row["recorded_at"].astimezone().strftime("%Y-%m-%d %H:%M:%S") if "recorded_at" in row else " " * 19
    version = f"v{row['version']}" if "version" in row else None
    replaced = f"-> {row['replaced_by']}" if "replaced_by" in row else None
    head = (when, f"{row['op']:9}", row.get("key"), replaced, version, row.get("source"), row.get("told"))
    return "  ".join([*(_plain(part) for part in head if part is not None), *_pairs(row.get("state") or {})])


def _pairs(state: Mapping[str, Any]) -> Iterator[str]:
    return (f"{name}={_plain(value)}" for name, value in state.items() if value is not None)


def _plain(value: Any) -> str:
    """Nothing that could steer a terminal, whoever wrote the event."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if text.isprintable() else json.dumps(text)
