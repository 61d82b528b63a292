"""A reader with every fault there can be."""

import os
from collections.abc import Sequence
from random import Random

from bus.errors import WireInvalid
from tests.fuzz.target import Target

CASES = {b"hang": "hang", b"crash": "crash", b"memory": "MemoryError", b"growth": "memory", b"error": "KeyError"}


def read(data: bytes) -> bool:
    match data:
        case b"hang":
            while True:
                pass
        case b"crash":
            os.abort()
        case b"memory":
            return bool(bytearray(1 << 34))
        case b"growth":
            return bool(b"x" * (400 << 20))
        case b"error" | b"an error":
            raise KeyError
        case b"no":
            raise WireInvalid("refused, as it should be")
    return True


def broken() -> Target:
    return Target(read, [b"yes", b"yes"], cases=[*CASES, b"no", b"an error"], cpu_seconds=3.0)


def many() -> Target:
    """The same, read many at once, of which few are not sound."""

    def read_many(inputs: Sequence[bytes]) -> int:
        return sum(map(read, inputs))

    def dressed(random: Random, _data: bytes) -> bytes:
        return b"an error" if random.random() < 0.001 else b"yes"

    return Target(read, [b"yes"], dress=dressed, read_many=read_many)
