"""TOML texts of others."""

import re
import tomllib
from typing import Any

MOST_PARTS = 32
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""
_DOTTED = re.compile(rf"(?<![\w-])(?:{_PART}){{{MOST_PARTS}}}")
"""A name for which tomllib keeps each of its beginnings: of 8,000 parts, in 16 kB, they are 300 MB."""


def parse_toml(text: str) -> dict[str, Any]:
    """Raises TOMLDecodeError, also for what nests too deep, and for a number of thousands of digits."""
    if _DOTTED.search(text):
        raise tomllib.TOMLDecodeError(f"a name of more than {MOST_PARTS} dotted parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("nested too deep") from error
    except ValueError as error:  # Python's own limit of digits in a number
        raise tomllib.TOMLDecodeError("a number with too many digits") from error
