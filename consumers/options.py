"""Options that a replica's commands share."""

from pathlib import Path
from typing import Annotated

import typer

from bus.cli.options import typed
from bus.errors import ConfigInvalid
from bus.settings import load_toml
from consumers.settings import ReplicaSettings

ConfigOption = Annotated[
    Path,
    typer.Option("--config", envvar="LIENTHONG_REPLICA", help="The replica's TOML file; deploy/ has an example."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", envvar="LIENTHONG_DATABASE", help="sqlite:///file or postgresql://… of a replica."),
]
InsteadOption = Annotated[
    Path | None, typer.Option("--config", envvar="LIENTHONG_REPLICA", help="The replica's TOML file instead.")
]


def chosen(context: typer.Context, database: str | None, config: Path | None) -> str | Path:
    """Which replica is meant, by its database's URL or by its file; what is typed counts before the environment.

    Raises ConfigInvalid where none is named, or two are typed.
    """
    if typed(context, "database") and typed(context, "config"):
        raise ConfigInvalid("--database and --config each name a replica; leave one of them out")
    if config is not None and (database is None or typed(context, "config")):
        return config
    if database is not None:
        return database
    raise ConfigInvalid("which replica? name it with --config replica.toml, or --database sqlite:///file")


def database_of(chosen: str | Path) -> str:
    return load_toml(chosen, ReplicaSettings).replica.database if isinstance(chosen, Path) else chosen
