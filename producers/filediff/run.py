"""One run of file diff, from the export to the topic."""

import asyncio
import secrets
import time
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import polars as pl
from aiokafka import AIOKafkaProducer

from bus import kafka, metrics
from bus.catalog import Catalog, Register, load_catalog
from bus.codec import ParsedSchema
from bus.codes import Codebook, open_codes
from bus.errors import BusError, ConfigInvalid, ConfirmationNeeded, FileRefused
from bus.names import AgencyCode, TopicName
from bus.registry import open_registry
from producers.decoder import Decoder
from producers.filediff import refusals
from producers.filediff.context import context_of
from producers.filediff.diff import KEY, PRINT, Before, Plan
from producers.filediff.encoding import key_slices, slices
from producers.filediff.header import check_header, check_mapped
from producers.filediff.job import FileJob, Outcome
from producers.filediff.ledger import Ledger
from producers.filediff.lines import UTF8
from producers.filediff.look import Kept, Terms, look
from producers.filediff.opening import opened, told_by_file
from producers.filediff.place import held
from producers.filediff.progress import Reporter, Silent
from producers.filediff.quarantine import Quarantine
from producers.filediff.reader import Reader
from producers.filediff.replay import Source, catch_up
from producers.filediff.report import write_report
from producers.filediff.sending import BATCH_BYTES, Origin, Sender
from producers.filediff.spool import Spool
from producers.filediff.state import FileState, state_file
from producers.filediff.timeline import check_end, check_turn
from producers.lane import Clock
from producers.mapping import Mapping
from producers.mapping.reading import read_mapping
from producers.marking import DAY, write_markers
from producers.publisher import utc_now
from producers.quality import History, history_file
from producers.release import Release, newest_release
from producers.topic import own_topic
from producers.transaction import transactional_id


async def publish_file(job: FileJob, reporter: Reporter | None = None, now: Clock = utc_now) -> Outcome:
    """Send to the register's topic what the export says and the topic does not yet; the numbers of what was done.

    Killed at any moment and run again, the topic ends with what the export says, and no event is sent twice. Raises
    FileRefused where the export as such cannot be used; ConfirmationNeeded where it would delete too many, before
    anything is sent; Fenced when another run has taken over; and what the Publisher raises.
    """
    run = _run(job, reporter or Silent(), now)
    try:
        outcome = await _publish(run, now)
    except BusError as error:
        _count_run(run, error.reason)
        raise
    _count_run(run, "done")
    if outcome.sent:
        metrics.run_finished.labels(run.register.name, run.agency).set(now().timestamp())
    return outcome


@dataclass(frozen=True, slots=True)
class _Run:
    job: FileJob
    reporter: Reporter
    catalog: Catalog
    register: Register
    agency: AgencyCode
    topic: TopicName
    origin: Origin
    started_at: datetime
    since: float = field(default_factory=time.monotonic)


async def _publish(run: _Run, now: Clock) -> Outcome:
    job = run.job
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(opened(job, _charset(job)))
        source, release, codes = await _source(run, stack)
        mapping = _mapping(job, reader, release, codes)
        stack.enter_context(held(job.state, run.topic))
        state = stack.enter_context(FileState(state_file(job.state, run.topic)))
        before = state.exports()
        if not job.allow_older:
            check_turn(job.file.name, run.origin.occurred_at, before, partial=job.partial)
        client = None if job.dry_run else await stack.enter_async_context(_exclusive(run))
        rebuilt = await catch_up(state, source, now(), run.reporter)
        known = state.known()
        if rebuilt and known.height:
            run.reporter.say(f"state read from {run.topic} from its beginning: {rebuilt}")
        spool = stack.enter_context(Spool(job.state))
        quarantine = Quarantine(_quarantine_file(run), reader.header, job.delimiter, mapping)
        kept = Kept(spool, quarantine, Ledger(_named(run, "changes.jsonl"), _named(run, "reviews.jsonl")))
        with kept.quarantine, kept.ledger:
            context = context_of(release.schema, run.agency, codes.lists, [mapping.text] if mapping else [])
            terms = Terms(run.register, release.schema, run.agency, Before(known), context, mapping)
            plan = await asyncio.to_thread(look, job, reader, terms, kept, run.reporter)
        check_end(job.file.name, before, ended=reader.ended, partial=job.partial)
        _tell(run, plan, _outcome(run, plan, rebuilt, kept, codes, sent=False))
        if client is not None:
            state.exported(min(run.origin.occurred_at, now()), partial=job.partial, ended=reader.ended)
            state.remember(plan.reworded[KEY], plan.reworded[PRINT])
            await _send(run, plan, spool, Sender(client, state, source, release, run.agency, run.origin, now))
            await _mark(run, state, source, used=known.height > 0)
    outcome = _outcome(run, plan, rebuilt, kept, codes, sent=client is not None)
    _report(outcome, plan)
    if outcome.sent:
        History(history_file(job.state)).append(outcome.as_json())
    return outcome


def _count_run(run: _Run, outcome: str) -> None:
    """A dry run is none."""
    if not run.job.dry_run:
        metrics.runs.labels(run.register.name, run.agency, outcome).inc()


def _run(job: FileJob, reporter: Reporter, now: Clock) -> _Run:
    catalog = load_catalog(job.catalog, prefix=job.prefix)
    register, agency = catalog.register(job.register_name), catalog.agency(job.agency)
    if not job.file.is_file():
        raise FileRefused(f"{job.file}: no such file; name an export that can be read")
    if job.quarantine is not None and job.quarantine.exists() and job.quarantine.samefile(job.file):
        raise ConfigInvalid(f"{job.quarantine}: the quarantine file would replace the export; name another one")
    origin = _origin(job)
    return _Run(told_by_file(job), reporter, catalog, register, agency, register.topic(agency), origin, now())


async def _source(run: _Run, stack: AsyncExitStack) -> tuple[Source, Release, Codebook]:
    job = run.job
    registry = await stack.enter_async_context(open_registry(job.registry, job.kafka))
    facts = await own_topic(job.kafka, run.register, run.topic)
    codes = await open_codes(job, run.catalog, registry, run.started_at)
    if job.codes is not None:
        run.reporter.say(codes.told())
    release = await newest_release(run.register, registry, job.schemas, codes.rules)
    decoder = Decoder(run.register.name, registry, cast("ParsedSchema", release.schema.parsed))
    return Source(job.kafka, run.register, run.topic, facts, release.schema, decoder), release, codes


def _charset(job: FileJob) -> str:
    return read_mapping(job.mapping)[0].source.bytes_are if job.mapping else UTF8


def _mapping(job: FileJob, reader: Reader, release: Release, codes: Codebook) -> Mapping | None:
    """The mapping, if there is one. Raises FileRefused or ConfigInvalid unless export, mapping and register agree."""
    name, header = job.file.name, reader.header
    if job.mapping is None:
        check_header(name, header, release.schema, job.delimiter, partial=job.partial)
        return None
    mapping = Mapping.load(job.mapping, release.schema, codes.lists)
    check_mapped(name, header, mapping, job.delimiter, partial=job.partial)
    return mapping


def _exclusive(run: _Run) -> AbstractAsyncContextManager[AIOKafkaProducer]:
    """Starting it ends any earlier run on this topic, and its open transaction."""
    return kafka.producer(
        run.job.kafka,
        transactional_id=transactional_id(run.topic),
        compression_type=run.job.compression,
        max_batch_size=BATCH_BYTES,
    )


def _report(outcome: Outcome, plan: Plan) -> None:
    if outcome.report is not None:
        write_report(Path(outcome.report), outcome, plan.refused)


def _tell(run: _Run, plan: Plan, outcome: Outcome) -> None:
    """Count and report what was refused, before anything is sent; raise ConfirmationNeeded where too many would go."""
    for reason, count in outcome.refused.items():
        metrics.refused.labels(run.register.name, run.agency, reason).inc(count)
    for rule, count in outcome.cleaned.items():
        metrics.cleaned.labels(run.register.name, run.agency, rule).inc(count)
    for reason, count in outcome.doubted.items():
        metrics.doubted.labels(run.register.name, run.agency, reason).inc(count)
    metrics.rows_read.labels(run.register.name, run.agency).inc(outcome.rows)
    metrics.rows_passed.labels(run.register.name, run.agency).inc(outcome.rows_passed)
    _report(outcome, plan)
    if plan.withheld:
        run.reporter.say(
            f"nobody is deleted: {plan.withheld}, and {plan.absent} of {plan.published} published subjects are not in "
            "it; look whether it is whole, correct these rows and publish the export again"
        )
    job = run.job
    if plan.share_gone <= job.max_delete_share or job.confirm_deletes:
        return
    why = (
        f"{job.file.name}: {len(plan.gone)} of {plan.published} published subjects are not in it "
        f"({plan.share_gone:.0%}, more than {job.max_delete_share:.0%}); nothing was sent: pass --partial if the "
        "export is not a full one, or --confirm-deletes if they are to be deleted"
    )
    if job.dry_run:
        run.reporter.say(f"would have to be confirmed: {why}")
        return
    History(history_file(job.state)).append(outcome.as_json())
    raise ConfirmationNeeded(why)


async def _send(run: _Run, plan: Plan, spool: Spool, sender: Sender) -> None:
    """New and changed states in the export's order, then the deletes."""
    size = run.job.transaction_events
    with run.reporter.step(f"sending to {run.topic}", plan.events) as advance:
        for frame in spool.frames():
            for part in slices(frame.filter(~pl.col(KEY).is_in(plan.twice.implode())), size):
                await sender.upsert(part)
                advance(part.height)
        for keys in key_slices(plan.gone, size):
            await sender.delete(keys)
            advance(len(keys))


async def _mark(run: _Run, state: FileState, source: Source, *, used: bool) -> None:
    """A marker to each partition, unless one was written within a day, or nothing was in the topic before."""
    last = state.marked_at()
    if last is None and not used:
        state.marked(run.started_at)
    elif last is None or abs(run.started_at - last) >= DAY:
        try:
            await write_markers(run.job.kafka, run.topic, source.facts.partitions)
        except BusError as error:
            run.reporter.say(f"no markers were written, the next run does: {error}")
        else:
            state.marked(run.started_at)


def _origin(job: FileJob) -> Origin:
    """The export's own age is the latest moment at which its changes can have happened."""
    made = job.as_of or datetime.fromtimestamp(job.file.stat().st_mtime, UTC)
    return Origin(made, f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")


def _quarantine_file(run: _Run) -> Path:
    return run.job.quarantine or _beside(run, "quarantine.csv")


def _beside(run: _Run, what: str) -> Path:
    """A file of this run's own in the state directory."""
    return run.job.state / f"{run.topic}.{run.started_at:%Y%m%dT%H%M%S%f}.{what}"


def _named(run: _Run, what: str) -> Path:
    """A file beside the report."""
    report = run.job.report
    return report.with_name(f"{report.stem}.{what}") if report else _beside(run, what)


def _outcome(run: _Run, plan: Plan, rebuilt: str | None, kept: Kept, codes: Codebook, *, sent: bool) -> Outcome:
    ledger, quarantine = kept.ledger, kept.quarantine
    told = plan.refused.height > 0 or ledger.changed or ledger.doubted
    report = run.job.report or (_beside(run, "report.json") if told else None)
    return Outcome(
        register=run.register.name,
        agency=run.agency,
        topic=run.topic,
        file=str(run.job.file),
        started_at=run.started_at,
        seconds=round(time.monotonic() - run.since, 3),
        sent=sent,
        partial=run.job.partial,
        rows=plan.rows,
        new=plan.new,
        changed=plan.changed,
        gone=len(plan.gone),
        absent=plan.absent,
        unchanged=plan.unchanged,
        same_text=plan.same_text,
        refused_rows=refusals.rows(plan.refused),
        refused=refusals.per_reason(plan.refused),
        deletes_withheld=plan.withheld,
        state_rebuilt=rebuilt,
        quarantine=str(quarantine.path) if quarantine.rows else None,
        report=str(report) if report else None,
        cleaned=dict(ledger.changed.most_common()),
        doubted=dict(ledger.doubted.most_common()),
        changes=ledger.changes,
        reviews=ledger.reviews,
        codes=codes.told(),
    )
