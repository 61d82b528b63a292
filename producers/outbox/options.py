"""Options that the commands on an agency's database share."""

from typing import Annotated

import typer

UrlOption = Annotated[
    str,
    typer.Option("--url", envvar="LIENTHONG_OUTBOX_URL", help="Database, such as postgresql://user@host:5432/name."),
]
