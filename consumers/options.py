"""Options that a replica's commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path,
    typer.Option("--config", envvar="LIENTHONG_REPLICA", help="The replica's TOML file; deploy/ has an example."),
]
