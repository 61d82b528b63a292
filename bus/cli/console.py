"""Where commands print: results on stdout, progress and errors on stderr."""

import json
from typing import Any

from rich.console import Console

console = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for scripts; Vietnamese as it is, dates and ids as their text."""
    console.print_json(json.dumps(value, ensure_ascii=False, default=str))
