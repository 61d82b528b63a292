"""Texts that people and other programs write: settings, catalogue, mappings, layouts, schemas, the schemas topic."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

from pydantic import BaseModel

from bus.catalog import load_catalog
from bus.errors import ConfigInvalid
from bus.names import SchemaId
from bus.registry import records
from bus.registry.base import Registered
from bus.registry.ledger import Ledger
from bus.schema.avsc import load_register, read_schema
from bus.schema.codes import _read as read_codes
from bus.schema.codes import load_codes
from bus.schema.columns import frame_schema
from bus.settings import load_toml
from consumers.settings import ReplicaSettings
from producers.adapter.settings import DatabaseAdapter
from producers.filediff.layout import Layout
from producers.inbox.settings import InboxSettings
from producers.mapping import Mapping
from producers.mapping.reading import read_mapping
from producers.settings import PublisherSettings
from tests.fuzz.mutating import JSON, TOML, text
from tests.fuzz.target import Target
from tests.fuzz.targets.avro import schema_cases, schema_samples
from tests.producing import IDENTITY

ROOT = Path(__file__).parents[3]
DEEP = [
    *(b"a=" + b"[" * 100_000, b"a = " + b"{a=" * 20_000, b"[" + b"a." * 2_000 + b"a]", b"a." * 2_000 + b"a = 1"),
    *(b"a = " + b"9" * 5_000, b"a = 1e9999", b"\xff", b"\xef\xbb\xbfa=1", b"a = 9999-12-31T23:59:60Z", b"\x00", b""),
    *(b"a='''" + b"x" * 100_000, b"a = 0x" + b"f" * 5_000, b"a = 2026-02-30", b'"" = 1\n[""]', b"a = inf\nb = nan"),
]
REPLICA = b"""[replica]
agency = "H29.4"
database = "sqlite:///replica.db"
registers = ["resident.identity", "dossier.case"]
drain_seconds = 20
max_batch = 20_000
[kafka]
bootstrap_servers = "127.0.0.1:9092"
sasl_password = "secret"
[registry]
url = "http://127.0.0.1:8081"
[metrics]
port = 0
[retention]
graves_days = 60
"""
INBOX = b"""agency = "H29.5"
codes_on = 2026-07-06
[[route]]
register = "resident.identity"
folder = "police"
pattern = "identity*.csv"
delimiter = ";"
max_delete_share = 0.2
[metrics]
port = 9465
"""
PUBLISHER = b"""agency = "H29.5"
registers = ["resident.identity"]
compression = "zstd"
ack_seconds = 3.5
[kafka]
request_timeout_ms = 5000
"""
DATABASE = b"""kind = "outbox"
agency = "H29.5"
registers = ["resident.identity"]
cluster = "cluster.toml"
"""
LAYOUT = b"""skip = 1
length = 60
[[column]]
name = "personal_id"
start = 1
width = 12
[[column]]
name = "full_name"
start = 13
width = 40
"""
MAPPING = b"""register = "resident.identity"
title = "Old system"
[source]
encoding = "tcvn3"
empty = ["-", "NULL"]
rules = ["text"]
[fields]
personal_id = "SO_DDCN"
full_name = { from = ["HO", "TEN"], separator = " ", rules = ["text", "name"] }
birth_date = { from = "NGAY_SINH", parse = "date", formats = ["dd/MM/yyyy", "yyyy"] }
sex = { from = "GT", codes = { "1" = "male", "2" = "female" }, otherwise = "unknown" }
nationality = { constant = "VN" }
status = { from = "TT", codes = { "1" = "active" }, default = "active" }
"""
CODES = b"""title = "Sex"
title_vi = "Gi\xe1\xbb\x9bi t\xc3\xadnh"
source = "none"
[[codes]]
code = "male"
name = "Male"
name_vi = "Nam"
valid_from = "2025-07-01"
[[codes]]
code = "female"
name_vi = "N\xe1\xbb\xaf"
valid_to = "2030-01-01"
next = ["male"]
"""


class Text:
    """A file in memory, as far as readers of texts ask for one."""

    name = "file.toml"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __str__(self) -> str:
        return self.name

    def read_text(self, encoding: str = "utf-8") -> str:
        return self._data.decode(encoding)

    def __truediv__(self, _other: str) -> "Text":
        return self


def path(data: bytes) -> Path:
    return cast("Path", Text(data))


def settings(*models: type[BaseModel], samples: list[bytes]) -> Target:
    """Each input as every model; taken where one takes it."""

    def read(data: bytes) -> bool:
        return all(load_toml(path(data), model) is not None for model in models)

    return Target(read, samples, cases=DEEP, mutators=TOML, short=800)


def catalogue() -> Target:
    shipped = (ROOT / "schemas" / "catalog.toml").read_bytes()
    small = b"\n[".join(shipped.split(b"\n[")[:6])

    def read(data: bytes) -> bool:
        catalog = load_catalog(path(data))
        return all(catalog.topics(register) and register.table for register in catalog.registers.values())

    odd = [
        b'prefix = 1\n[registers]\n"a.b" = 1',
        b"registers = 1",
        b'[topic_defaults]\npartitions = "x"',
        b"topic_defaults = 1",
    ]
    return Target(read, [small, small, small, shipped], cases=[*DEEP, *odd], mutators=TOML, short=400)


def _mapping_of(data: bytes) -> Any:
    return read_mapping(path(data))


def mappings() -> Target:
    schema = load_register(IDENTITY)[-1]
    formats = [b"%", b"yyyy" * 50, b"d", b"", b"'", b"HH:mm", b"dd/MM/yyyy" * 20, b"\\\\d", b"\xc4\x91"]
    odd = [MAPPING.replace(b"dd/MM/yyyy", each) for each in formats] + [
        b"fields = 1",
        b"[fields]",
        b"register = 1\n[fields]\na = 1",
    ]
    odd += [
        b"register='resident.identity'\n[fields." + b"a." * 3_000 + b"a]\nfrom = 'b'",
        b"1 = 1",
        b"[fields.personal_id]\nx = 1",
    ]

    def read(data: bytes) -> bool:
        mapping = Mapping._bound(*_mapping_of(data), schema, "mapping", None)
        mapping.check(["SO_DDCN", "HO", "TEN", "NGAY_SINH", "GT", "TT"])
        return True

    return Target(read, [MAPPING], cases=[*DEEP, *odd], mutators=TOML, short=500)


def code_lists() -> Target:
    table = CODES[: CODES.index(b"[[")] + b'table = "x"\n'
    cases = [*DEEP, table, CODES.replace(b"[[codes]]", b"codes = 1\n[[x]]", 1), b"codes = [1]", b"codes = [{}]"]

    def read(data: bytes) -> bool:
        return read_codes(cast("Any", Text(data)), cast("Any", Text(data))).entries is not None

    return Target(read, [CODES], cases=cases, mutators=TOML)


def code_tables() -> Target:
    """A code list whose codes stand in a table beside it."""
    head = b'title = "T"\ntitle_vi = "T"\nsource = "none"\ntable = "codes.tsv"\n'
    table = "code\tname\tname_vi\tvalid_from\tvalid_to\n01\tA\tĐ\t2025-07-01\t\n02\t\tB\t\t2030-01-01\n".encode()
    cases = [b"", b"code", table * 2, table + b"\t" * 9_000, table + b"x" * 200_000, b"\xff", b"code\rname_vi\n\x00"]
    cases += [table.replace(b"01\t", b"01\t\t\t\t\t\t\t"), table.replace(b"valid_to", b"valid_from"), b"\t\n1\t2"]

    def read(data: bytes) -> bool:
        with mock.patch.object(Text, "__truediv__", return_value=Text(data)):
            return read_codes(cast("Any", Text(head)), cast("Any", Text(head))).entries is not None

    return Target(
        read, [table], cases=cases, mutators=text(b"\t", b"\n", b"\r", b'"', b"\x00", b"\xff", b"\xe2\x80\xa8")
    )


def schema_files() -> Target:
    codes = load_codes()
    sample = schema_samples()[0]
    patterns = [b"(a+)+" * 20, b"[0-9]{1,99999}", b"(" * 900, b"\\\\p{L}", b"x{1000}{1000}", b"[^\\\\", b"(?:a|b)*"]
    cases = [*schema_cases(), *(sample.replace(b"[0-9]{12}", each) for each in patterns)]

    def read(data: bytes) -> bool:
        text = data.decode()
        schema = read_schema(text, IDENTITY, 1, codes, "v1.avsc")
        return len(frame_schema(schema)) > 0

    return Target(
        read,
        schema_samples(),
        cases=[each for each in cases if _is_text(each)],
        mutators=JSON,
        dress=lambda _random, data: data.decode(errors="replace").encode(),
        short=400,
    )


def _is_text(data: bytes) -> bool:
    try:
        return data.decode() is not None
    except UnicodeDecodeError:
        return False


SEPARATOR = b"\x1e"


def schemas_topic() -> Target:
    """Key and value of a record; what is refused is counted by the ledger."""
    texts = [each.decode() for each in schema_samples()]
    written = [
        records.write(Registered("city.resident.identity-value", 1, SchemaId(number), text))
        for number, text in enumerate(texts, 1)
    ]
    samples = [SEPARATOR.join(each) for each in written]
    key = b'{"keytype":"%s","subject":"s","version":1,"magic":1}'
    samples += [
        key % b"SCHEMA" + SEPARATOR,
        key % b"DELETE_SUBJECT" + SEPARATOR + b'{"subject":"s","version":1}',
        key % b"NOOP" + SEPARATOR,
    ]
    cases = [
        key % b"SCHEMA" + SEPARATOR + b'{"subject":"s","version":1,"id":1,"schema":' + _quoted(each) + b"}"
        for each in schema_cases()
        if _is_text(each)
    ]
    cases += [
        b"[" * 100_000 + SEPARATOR,
        key % b"SCHEMA" + SEPARATOR + b"[" * 100_000,
        SEPARATOR,
        key % b"DELETE_SUBJECT" + SEPARATOR + b'{"version":1e400}',
    ]

    def read(data: bytes) -> bool:
        ledger = Ledger()
        for key, value in (written[0], _pair(data), written[1]):
            ledger.add(key, value)
        for subject in ledger.subjects():
            for each in ledger.versions(subject):
                assert ledger.schema(each.schema_id) is not None
        ledger.next_release("city.resident.identity-value", texts[2])
        return not ledger.skipped

    def read_many(inputs: Sequence[bytes]) -> int:
        """One topic of them all."""
        ledger = Ledger()
        for key, value in (written[0], *map(_pair, inputs), written[1]):
            ledger.add(key, value)
        for subject in ledger.subjects():
            for each in ledger.versions(subject):
                assert ledger.schema(each.schema_id) is not None
        ledger.next_release("city.resident.identity-value", texts[2])
        return max(len(inputs) - sum(ledger.skipped.values()), 0)

    return Target(read, samples, cases=cases, mutators=JSON, short=500, read_many=read_many)


def _pair(data: bytes) -> tuple[bytes, bytes | None]:
    key, _, value = data.partition(SEPARATOR)
    return key, value or None


def _quoted(data: bytes) -> bytes:
    return json.dumps(data.decode()).encode()


def replica() -> Target:
    return settings(ReplicaSettings, samples=[REPLICA])


def adapters() -> Target:
    inbox = settings(InboxSettings, samples=[INBOX])
    return Target(
        lambda data: any(_taken(data, model) for model in (InboxSettings, PublisherSettings, DatabaseAdapter)),
        [*inbox.samples, PUBLISHER, DATABASE],
        cases=DEEP,
        mutators=TOML,
    )


def _taken(data: bytes, model: type[BaseModel]) -> bool:
    try:
        return load_toml(path(data), model) is not None
    except ConfigInvalid:
        return False


def layout() -> Target:
    return settings(Layout, samples=[LAYOUT])
