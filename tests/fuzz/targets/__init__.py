"""Every reader of foreign bytes, by the name under which the command knows it."""

from collections.abc import Callable, Mapping
from functools import cache

from tests.fuzz.target import Target
from tests.fuzz.targets import answers, avro, broken, documents, files, kafka, rows
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
    "registry-http": answers.http,
    "schemas-kept": answers.cached_schemas,
    "envelope": answers.envelopes,
    "parked": answers.parked,
    "schema-file": documents.schema_files,
    "code-list": documents.code_lists,
    "code-table": documents.code_tables,
    "code-copy": answers.code_copies,
    "catalogue": documents.catalogue,
    "config-replica": documents.replica,
    "config-adapter": documents.adapters,
    "mapping": documents.mappings,
    "layout": documents.layout,
    "csv": files.csv,
    "csv-lists": files.csv_lists,
    "tsv-cp1258": files.tsv,
    "csv-utf16": files.utf16,
    "csv-mapped": files.mapped,
    "csv-quarantine": files.quarantined,
    "fixed-width": files.fixed,
    "xlsx": files.xlsx,
    "outbox-json": rows.outbox,
    "outbox-json-bulk": rows.outbox_bulk,
    "outbox-json-nested": rows.outbox_nested,
    "captured-row": rows.captured,
    "pgoutput": rows.pgoutput,
}
TARGETS: Mapping[str, Callable[[], Target]] = {name: cache(made) for name, made in _MADE.items()}
ALL = {**TARGETS, "broken": broken.broken, "broken-many": broken.many}
"""With a reader that does all that none should, by which the harness is tried itself."""
