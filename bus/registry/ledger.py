"""All that the schemas topic says so far: which versions each subject has, and which text each id stands for."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bus.names import SchemaId
from bus.registry import records
from bus.registry.base import Registered, Schema
from bus.registry.records import Entry, Removed, Skipped, SubjectDeleted


class Ledger:
    """A fold over the topic's records. Reading them again, from the start or in part, changes nothing."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], Entry] = {}
        self._texts: dict[SchemaId, str] = {}
        self._ids: dict[str, SchemaId] = {}
        self._highest_id = 0
        self._skipped: Counter[str] = Counter()

    @property
    def skipped(self) -> Mapping[str, int]:
        """Records that said nothing to us: ``other_kind``, ``other_context``, ``garbage``, ``id_conflict``."""
        return self._skipped

    def add(self, key: bytes | None, value: bytes | None) -> None:
        said = records.read(key, value)
        match said:
            case Entry():
                self._enter(said)
            case Removed():
                self._entries.pop((said.avro_subject, said.version), None)
            case SubjectDeleted():
                self._delete(said)
            case Skipped():
                self._skipped[said.reason] += 1

    def schema(self, schema_id: SchemaId) -> Schema | None:
        """The schema of an id, also after its subject was deleted: events written with it may still be about."""
        text = self._texts.get(schema_id)
        return None if text is None else records.record_schema(text)

    def versions(self, avro_subject: str) -> tuple[Registered, ...]:
        return tuple(
            Registered(entry.avro_subject, entry.version, entry.schema_id, entry.text)
            for (subject, _), entry in sorted(self._entries.items())
            if subject == avro_subject and entry.text is not None and not entry.deleted
        )

    def subjects(self) -> tuple[str, ...]:
        return tuple(sorted({entry.avro_subject for entry in self._entries.values() if not entry.deleted}))

    def next_release(self, avro_subject: str, text: str) -> Registered:
        """The release that would come next: one above every id and version ever given; an old text keeps its id."""
        taken = [version for subject, version in self._entries if subject == avro_subject]
        known = self._ids.get(canonical(text))
        schema_id = SchemaId(self._highest_id + 1) if known is None else known
        return Registered(avro_subject, max(taken, default=0) + 1, schema_id, text)

    def _enter(self, entry: Entry) -> None:
        self._highest_id = max(self._highest_id, entry.schema_id)
        if entry.text is not None:
            if canonical(self._texts.setdefault(entry.schema_id, entry.text)) != canonical(entry.text):
                self._skipped["id_conflict"] += 1  # what events were written with first must stay readable
                return
            self._ids.setdefault(canonical(entry.text), entry.schema_id)
        self._entries[entry.avro_subject, entry.version] = entry

    def _delete(self, said: SubjectDeleted) -> None:
        for at, entry in self._entries.items():
            if entry.avro_subject == said.avro_subject and entry.version <= said.through:
                self._entries[at] = replace(entry, deleted=True)


def canonical(text: str) -> str:
    """The schema's text without its white space and order of keys: what makes two texts the same schema."""
    return json.dumps(json.loads(text), sort_keys=True)
