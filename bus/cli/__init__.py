"""The command ``lienthong``: finds its groups by entry point; every ``BusError`` is one line and an exit code."""

from bus.cli.app import main
from bus.cli.console import console, err, print_json

__all__ = ["console", "err", "main", "print_json"]
