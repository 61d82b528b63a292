"""TOML texts of others."""

import tomllib
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """Raises TOMLDecodeError, also for what nests too deep, and for a number of thousands of digits."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("nested too deep") from error
    except ValueError as error:  # Python's own limit of digits in a number
        raise tomllib.TOMLDecodeError("a number with too many digits") from error
