"""Every reader of foreign bytes, by the name under which the command knows it."""

from collections.abc import Callable, Mapping
from functools import cache

from tests.fuzz.target import Target
from tests.fuzz.targets import avro, documents, kafka
from tests.producing import BUSINESS, IDENTITY

_MADE: Mapping[str, Callable[[], Target]] = {
    "wire": kafka.wires,
    "batches": kafka.batches,
    "records": kafka.records,
    "tombstone": kafka.tombstones,
    "avro-rows": lambda: avro.rows(IDENTITY),
    "avro-rows-nested": lambda: avro.rows(BUSINESS),
    "avro-columns": lambda: avro.columns(IDENTITY),
    "avro-columns-nested": lambda: avro.columns(BUSINESS),
    "avro-strangers": avro.strangers,
    "schemas-topic": documents.schemas_topic,
    "schema-file": documents.schema_files,
    "code-list": documents.code_lists,
    "catalogue": documents.catalogue,
    "config-replica": documents.replica,
    "config-adapter": documents.adapters,
    "mapping": documents.mappings,
    "layout": documents.layout,
}
TARGETS: Mapping[str, Callable[[], Target]] = {name: cache(made) for name, made in _MADE.items()}
