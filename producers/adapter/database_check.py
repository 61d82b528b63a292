"""Looks an adapter of an outbox or a capture over before it goes live. Nothing is sent, nothing is changed."""

from sqlalchemy import Engine

from bus.catalog import load_catalog
from bus.cli.options import Cluster
from bus.errors import ConfigInvalid
from bus.settings import load_toml
from producers.adapter.bus_side import Terms, bus_side
from producers.adapter.database_side import forms, judged_rows, look_at_outbox, table_rows, waiting_rows
from producers.adapter.findings import Checklist
from producers.adapter.rows import judged, tell
from producers.adapter.settings import Bus, DatabaseAdapter
from producers.mapping import Mapping
from producers.outbox.database import engine_for


async def check_database(settings: DatabaseAdapter, url: str | None, only: str | None) -> Checklist:
    """``only``: this register."""
    found = Checklist()
    place = url or (settings.url.get_secret_value() if settings.url else None)
    if place is None:
        raise ConfigInvalid("no database: set LIENTHONG_OUTBOX_URL, such as by: set -a; . ./adapter.env; set +a")
    names = [each for each in settings.registers if only in {None, each}]
    if not names:
        raise ConfigInvalid(f"--register {only}: not among the adapter's registers")
    where = load_toml(settings.cluster, Cluster) if settings.cluster else Cluster()
    given = {name: getattr(settings, name) for name in ("agency", "catalog", "prefix", "schemas", "codes", "codes_on")}
    bus = Bus(kafka=where.kafka, registry=where.registry, **given)
    engine = engine_for(place)
    try:
        usable = look_at_outbox(engine, found, captured=settings.kind == "capture")
        async with bus_side(bus, load_catalog(bus.catalog, prefix=bus.prefix), found) as side:
            for name in names:
                terms = await side.terms(name, settings.agency) if side else None
                if terms is not None and settings.kind == "capture":
                    _look_at_table(engine, settings, terms, found)
                elif terms is not None and usable:
                    _look_at_rows(engine, terms, found)
                else:
                    found.add(name, "sample", "could not be looked at, for what is told above", "unknown")
    finally:
        engine.dispose()
    return found


def _look_at_rows(engine: Engine, terms: Terms, found: Checklist) -> None:
    with found.looking(terms.register.name, "sample"):
        rows = waiting_rows(engine, terms)
        tell(found, terms, len(rows), f"waiting rows ({forms(rows)})", judged_rows(rows, terms))


def _look_at_table(engine: Engine, settings: DatabaseAdapter, terms: Terms, found: Checklist) -> None:
    name = terms.register.name
    with found.looking(name, "mapping"):
        if settings.table is None or settings.mapping is None:
            raise ConfigInvalid("capture needs `table` and `mapping` in adapter.toml")
        mapping = Mapping.load(settings.mapping, terms.release.schema, terms.codes.lists)
        chunk = table_rows(engine, settings.table, mapping, terms.register.key_field)
        unused = mapping.check(chunk.cells.columns, settings.table)
        more = f"; not used: {', '.join(unused)}" if unused else ""
        found.add(name, "mapping", f"{settings.mapping} fits the register and {settings.table}{more}")
        tell(found, terms, len(chunk), f"rows of {settings.table}", judged(chunk, terms, mapping))
