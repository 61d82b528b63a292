"""Asking before what cannot be undone."""

import sys

import typer

from bus.errors import ConfirmationNeeded


def confirm(question: str, otherwise: str) -> None:
    """Raises ConfirmationNeeded: with ``otherwise`` where nobody is there to answer, or when the answer is no."""
    if not sys.stdin.isatty():
        raise ConfirmationNeeded(otherwise)
    if not typer.confirm(question, err=True):
        raise ConfirmationNeeded("nothing was changed")
