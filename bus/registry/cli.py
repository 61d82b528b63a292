"""``lienthong schemas``: check the files, publish them, look at what is released."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

import bus
from bus.catalog import Catalog, Register, load_catalog
from bus.cli import console, err, print_json
from bus.cli.options import (
    DEFAULT_KAFKA,
    CatalogOption,
    Cluster,
    ClusterOption,
    JsonOption,
    KafkaOption,
    PrefixOption,
    RegistryOption,
    cluster,
)
from bus.errors import CatalogInvalid, InputRefused, RegisterUnknown, SchemaIncompatible
from bus.registry import show
from bus.registry.base import Registered, SchemaRegistry
from bus.registry.files import Finding, changed, incompatible, pending
from bus.registry.opening import open_registry
from bus.registry.show import Outcome
from bus.schema.avsc import load_all, load_register
from bus.schema.fields import RegisterSchema

app = typer.Typer(no_args_is_help=True, help="Schemas of the registers: check, publish, list, show.")

RegistersArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[REGISTER]...", help="Only these registers; all of the catalogue by default."),
]
SchemasOption = Annotated[
    Path | None,
    typer.Option(
        "--schemas",
        file_okay=False,
        exists=True,
        help="Folder that holds avro/ and codes/; the shipped one by default.",
    ),
]
Files = list[tuple[Register, tuple[RegisterSchema, ...]]]
Result = TypeVar("Result")


@app.command()
def check(
    registers: RegistersArgument = None,
    schemas: SchemasOption = None,
    against_cluster: Annotated[
        bool, typer.Option("--against-cluster", help="Compare with what is released, too: released files never change.")
    ] = False,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
) -> None:
    """Check style and compatibility of the schema files. Needs no cluster unless told to compare with one."""
    known = load_catalog(catalog, prefix=prefix)
    files = _files(known, registers, schemas)
    findings = [finding for _, versions in files for finding in incompatible(versions)]
    if not registers:
        findings += _strangers(known, schemas)
    if against_cluster:
        findings += _with_registry(cluster(kafka, registry, cluster_file), lambda opened: _changed(opened, files))
    _refuse(findings)
    count = sum(len(versions) for _, versions in files)
    console.print(f"{count} schemas of {len(files)} registers are fine.", highlight=False)


@app.command()
def publish(
    registers: RegistersArgument = None,
    schemas: SchemasOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be released and release nothing.")] = False,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
) -> None:
    """Release every version that is not released yet, in order. Doing it again changes nothing."""
    files = _files(load_catalog(catalog, prefix=prefix), registers, schemas)
    _refuse([finding for _, versions in files for finding in incompatible(versions)])
    rows = _with_registry(
        cluster(kafka, registry, cluster_file), lambda opened: _publish(opened, files, dry_run=dry_run)
    )
    if json:
        print_json([{name: getattr(row, name) for name in row.__slots__} for row in rows])
    else:
        console.print(show.outcomes(rows))


@app.command(name="list")
def list_command(
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
) -> None:
    """List the subjects of the registry with their versions and ids."""
    known = load_catalog(catalog, prefix=prefix)
    found = _with_registry(cluster(kafka, registry, cluster_file), _all_versions)
    names = {register.avro_subject: register.name for register in known.registers.values()}
    if json:
        print_json(
            [
                {
                    "subject": subject,
                    "register": names.get(subject),
                    "versions": [{"version": each.version, "id": each.schema_id} for each in versions],
                }
                for subject, versions in found.items()
            ],
        )
    elif found:
        console.print(show.releases(found, names))
    else:
        err.print("Nothing is released yet; release the schemas with: lienthong schemas publish")


@app.command(name="show")
def show_command(
    register: Annotated[str, typer.Argument(metavar="REGISTER")],
    version: Annotated[int | None, typer.Option("--version", min=1, help="The newest by default.")] = None,
    kafka: KafkaOption = DEFAULT_KAFKA,
    registry: RegistryOption = None,
    cluster_file: ClusterOption = None,
    catalog: CatalogOption = None,
    prefix: PrefixOption = None,
    json: JsonOption = False,
) -> None:
    """Show a released schema of one register."""
    chosen = load_catalog(catalog, prefix=prefix).register(register)
    versions = _with_registry(
        cluster(kafka, registry, cluster_file), lambda opened: opened.versions(chosen.avro_subject)
    )
    release = _picked(chosen, versions, version)
    head = {
        "register": chosen.name,
        "subject": chosen.avro_subject,
        "version": release.version,
        "id": release.schema_id,
    }
    if json:
        print_json({**head, "schema": release.schema})
        return
    console.print(", ".join(f"{name} {value}" for name, value in head.items()), highlight=False)
    console.print(show.fields(release.schema))


@app.command()
def models(
    check_only: Annotated[
        bool, typer.Option("--check", help="Fail where a file is out of date; write nothing.")
    ] = False,
) -> None:
    """Write the pydantic models of the registers from the schema files. For a source tree, not an installed package."""
    from bus.schema.models import stale, write  # noqa: PLC0415 - only this command generates code

    root = Path(bus.__file__).resolve().parent.parent
    if not (root / "schemas").is_dir():
        raise InputRefused("models are generated in a source tree; this is an installed package")
    if check_only:
        old = [str(path.relative_to(root)) for path in stale(root)]
        if old:
            raise InputRefused(f"out of date: {', '.join(old)}; run: lienthong schemas models")
    for path in () if check_only else write(root):
        console.print(f"wrote {path.relative_to(root)}", highlight=False)


def _files(catalog: Catalog, names: Sequence[str] | None, root: Path | None) -> Files:
    chosen = map(catalog.register, names) if names else catalog.registers.values()
    return [(register, load_register(register.name, root)) for register in chosen]


def _strangers(catalog: Catalog, root: Path | None) -> Iterator[Finding]:
    for name, versions in load_all(root).items():
        if name not in catalog.registers:
            told = "has a schema and no entry in the catalogue; add one"
            yield Finding(name, versions[-1].version, "not_in_catalogue", told)


async def _changed(registry: SchemaRegistry, files: Files) -> list[Finding]:
    return [
        finding
        for register, versions in files
        for finding in changed(register.name, versions, await registry.versions(register.avro_subject))
    ]


async def _publish(registry: SchemaRegistry, files: Files, *, dry_run: bool) -> list[Outcome]:
    _refuse(await _changed(registry, files))
    return [row for register, versions in files for row in await _released(registry, register, versions, dry_run)]


async def _released(
    registry: SchemaRegistry, register: Register, versions: Sequence[RegisterSchema], dry_run: bool
) -> list[Outcome]:
    there = await registry.versions(register.avro_subject)
    new = pending(versions, there)
    rows = [Outcome(register.name, release.version, release.schema_id, "already there") for release in there]
    for file in new:
        if dry_run:
            rows.append(Outcome(register.name, file.version, None, "would be released"))
            continue
        release = await registry.publish(register.avro_subject, file.text)
        rows.append(Outcome(register.name, release.version, release.schema_id, "released"))
    return rows


async def _all_versions(registry: SchemaRegistry) -> dict[str, tuple[Registered, ...]]:
    return {subject: await registry.versions(subject) for subject in await registry.subjects()}


def _picked(register: Register, versions: Sequence[Registered], number: int | None) -> Registered:
    if not versions:
        raise RegisterUnknown(f"{register.name}: nothing is released; release it with: lienthong schemas publish")
    found = [release for release in versions if number in {None, release.version}]
    if not found:
        there = ", ".join(str(release.version) for release in versions)
        raise InputRefused(f"{register.name}: no version {number} is released; there are {there}")
    return found[-1]


def _refuse(findings: Sequence[Finding]) -> None:
    """Raise the one finding, or print all and raise their number."""
    if len(findings) == 1:
        raise _as_error(findings[0])
    for finding in findings:
        err.print(str(finding), markup=False, highlight=False)
    if findings:
        raise SchemaIncompatible(f"{len(findings)} findings, each above with its remedy")


def _as_error(finding: Finding) -> InputRefused:
    kind = CatalogInvalid if finding.rule == "not_in_catalogue" else SchemaIncompatible
    return kind(str(finding))


def _with_registry(told: Cluster, ask: Callable[[SchemaRegistry], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with open_registry(told.registry, told.kafka) as opened:
            return await ask(opened)

    return asyncio.run(run())
