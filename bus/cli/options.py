"""Options that many commands share, with the same names and help everywhere."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from bus.errors import ConfigInvalid
from bus.settings import KafkaSettings, RegistrySettings, Settings, load_toml

KafkaOption = Annotated[
    str,
    typer.Option("--kafka", envvar="LIENTHONG_KAFKA", metavar="HOST:PORT", help="Bootstrap servers of the cluster."),
]
CatalogOption = Annotated[
    Path | None,
    typer.Option("--catalog", envvar="LIENTHONG_CATALOG", help="Catalogue file; the shipped one by default."),
]
PrefixOption = Annotated[
    str | None,
    typer.Option("--prefix", envvar="LIENTHONG_PREFIX", help="Topic prefix instead of the catalogue's."),
]
RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="LIENTHONG_REGISTRY",
        metavar="URL|TOPIC",
        help="URL of a Confluent-compatible registry, or the embedded registry's topic (_schemas by default).",
    ),
]
ClusterOption = Annotated[
    Path | None,
    typer.Option("--cluster", envvar="LIENTHONG_CLUSTER", help=r"TOML file with \[kafka] (TLS, SASL) and \[registry]."),
]
CodesOption = Annotated[
    str | None,
    typer.Option(
        "--codes",
        envvar="LIENTHONG_CODES",
        metavar="DIR|URL",
        help="Code lists as published: a directory that keeps what the code topics say, or a replica's URL; the "
        "shipped ones by default.",
    ),
]
CodesDayOption = Annotated[
    datetime | None,
    typer.Option("--codes-on", formats=["%Y-%m-%d"], help="Day on which codes have to be in force; today by default."),
]
MetricsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--metrics-file",
        help="Add this run's metrics to this .prom file, for node_exporter's textfile collector.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for scripts.")]

DEFAULT_KAFKA = "127.0.0.1:9092"


class Cluster(Settings):
    """The cluster that a command speaks to, as ``--cluster`` names it."""

    kafka: KafkaSettings = KafkaSettings()
    registry: RegistrySettings = RegistrySettings()


def cluster(kafka: str = DEFAULT_KAFKA, registry: str | None = None, file: Path | None = None) -> Cluster:
    """Settings from the file, then from the options where they say something of their own."""
    told = load_toml(file, Cluster) if file else Cluster()
    if kafka != DEFAULT_KAFKA or file is None:
        told = told.model_copy(update={"kafka": told.kafka.model_copy(update={"bootstrap_servers": kafka})})
    if registry is not None:
        where = {"url": registry} if "://" in registry else {"topic": registry}
        told = told.model_copy(update={"registry": told.registry.model_copy(update=where)})
    return told


def refuse_beside(file: Path, context: typer.Context, keys: Mapping[str, str]) -> None:
    """What a configuration file says is not said on the command line as well, where it would count for nothing.

    ``keys`` are the file's, by the parameter in whose place they stand. What the environment says is for commands
    without a file. Raises ConfigInvalid, which names each such option and its key.
    """
    given = [
        f"{each.opts[0]} (there: {keys[each.name]})"
        for each in context.command.params
        if each.name in keys and typed(context, each.name)
    ]
    if given:
        raise ConfigInvalid(f"{file} says it all, and would be used instead of {', '.join(given)}; write it there")


def typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line, rather than in the environment or nowhere."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
