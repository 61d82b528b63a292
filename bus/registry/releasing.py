"""Whether a schema may be released, for every registry alike."""

from collections.abc import Sequence

from bus.errors import SchemaIncompatible
from bus.registry.base import Registered
from bus.registry.ledger import canonical
from bus.registry.records import record_schema
from bus.schema.compatibility import check_compatible


def settled(avro_subject: str, text: str, released: Sequence[Registered]) -> Registered | None:
    """The release that has this text already; None when it may become the next one.

    Raises SchemaIncompatible: no Avro record, or it cannot live beside an earlier version (``FULL_TRANSITIVE``).
    """
    schema = record_schema(text)
    if schema is None:
        raise SchemaIncompatible(f"{avro_subject}: not an Avro record that stands by itself; correct the file")
    same = [release for release in released if canonical(release.text) == canonical(text)]
    if same:
        return same[0]
    broken = check_compatible(schema, [release.schema for release in released])
    if broken:
        first, *others = broken
        more = f" (and {len(others)} more)" if others else ""
        raise SchemaIncompatible(f"{avro_subject}: {first.rule} at {first.path or 'schema'}: {first.message}{more}")
    return None
