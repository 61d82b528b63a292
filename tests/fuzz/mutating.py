"""Inputs made of valid samples, each from its number alone, so that whatever is found can be made again."""

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from bus.varint import written

Mutator = Callable[[Random, bytes], bytes]

EXTREME = (0, 1, -1, 127, 128, 255, 2**15 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -(2**31), -(2**63))
MOST_BYTES = 1 << 20
NUMBER = re.compile(rb"\d+")
VALUES: Sequence[Any] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**30, 1e308, -0.0, float("nan"), float("inf")),
    *("", "\x00", "\ud800", "đ", "x" * 5_000, "2026-02-30", "0001-01-01", "9999-12-31T23:59:59Z", "null", "record"),
    *([], {}, [[]], [None], {"type": "record"}, {"": None}),
)


def mutated(random: Random, samples: Sequence[bytes], mutators: Sequence[Mutator]) -> bytes:
    """One to six changes to a sample, or a sample spliced with another."""
    data = random.choice(samples)
    if random.random() < 0.1:
        data = spliced(random, data, random.choice(samples))
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        data = random.choice(mutators)(random, data)
    return data[:MOST_BYTES]


def spliced(random: Random, one: bytes, other: bytes) -> bytes:
    return one[: _place(random, one)] + other[_place(random, other) :]


def _place(random: Random, data: bytes) -> int:
    return random.randrange(len(data) + 1)


def cut(random: Random, data: bytes) -> bytes:
    return data[: _place(random, data)]


def flip(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def overwrite(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    new = random.randbytes(random.choice((1, 1, 2, 4, 16)))
    return data[:at] + new + data[at + len(new) :]


def insert(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + random.randbytes(random.choice((1, 2, 8))) + data[at:]


def drop(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 1, 2, 4, 30)) :]


def repeat(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    piece = data[at : at + random.choice((1, 4, 20, 200))]
    return data[:at] + piece * random.choice((2, 3, 50)) + data[at:]


def inflate(random: Random, data: bytes) -> bytes:
    """A number somewhere, in a form in which lengths are written, that claims much, or less than nothing."""
    at, number = _place(random, data), random.choice(EXTREME) + random.choice((0, 0, 1, -1))
    width = random.choice((1, 2, 4, 8))
    low = number & ((1 << 8 * width) - 1)
    form = random.choice((written(number), low.to_bytes(width, "big"), low.to_bytes(width, "little")))
    return data[:at] + form + data[at + random.choice((len(form), 1, 0)) :]


BINARY: Sequence[Mutator] = (cut, flip, flip, overwrite, insert, drop, repeat, inflate, inflate)


def lines_changed(random: Random, data: bytes) -> bytes:
    """Lines left out, doubled, moved, joined."""
    found = data.splitlines(keepends=True)
    if not found:
        return data
    one, other = random.randrange(len(found)), random.randrange(len(found))
    match random.randrange(4):
        case 0:
            del found[one]
        case 1:
            found.insert(one, found[other])
        case 2:
            found[one], found[other] = found[other], found[one]
        case _:
            found[one] = found[one].rstrip(b"\r\n")
    return b"".join(found)


def number_changed(random: Random, data: bytes) -> bytes:
    at = NUMBER.search(data, _place(random, data)) or NUMBER.search(data)
    if at is None:
        return data
    digits = random.choice((str(random.choice(EXTREME)), "9" * 30, "9" * 5_000, "1e999", "0x7f", "-0"))
    return data[: at.start()] + digits.encode() + data[at.end() :]


def with_tokens(tokens: Sequence[bytes]) -> Mutator:
    """Puts in what the grammar is made of, or a lot of it, one inside the other."""

    def put(random: Random, data: bytes) -> bytes:
        at, token = _place(random, data), random.choice(tokens)
        return data[:at] + token * random.choice((1, 1, 1, 1, 2, 200, 3_000)) + data[at + random.choice((0, 1)) :]

    return put


def text(*tokens: bytes) -> Sequence[Mutator]:
    return (
        cut,
        flip,
        overwrite,
        drop,
        repeat,
        lines_changed,
        lines_changed,
        number_changed,
        *[with_tokens(tokens)] * 3,
    )


def json_changed(random: Random, data: bytes) -> bytes:
    """One value, one key, or one branch of a document that is JSON; another way where it is not."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return flip(random, data)
    return _dumped(tree_changed(random, told))


def toml_changed(random: Random, data: bytes) -> bytes:
    """The same for a document that is TOML."""
    try:
        told = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return flip(random, data)
    try:
        tree_changed(random, told)
        return "".join(f"{json.dumps(key)} = {_inline(value)}\n" for key, value in told.items()).encode()
    except RecursionError:  # a branch inside itself, or a name with thousands of parts
        return b"a = " + b"[" * 5_000


def tree_changed(random: Random, told: Any) -> Any:
    """One value, key or branch of a tree of dicts and lists, which it changes."""
    nodes: list[Any] = []
    _gather(told, nodes)
    if not nodes:
        return random.choice(VALUES)
    node = random.choice(nodes)
    place = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
    match random.randrange(5):
        case 0:
            del node[place]
        case 1 if isinstance(node, dict):
            node[random.choice(("", "name", "type", "fields", "x" * 300, "đ"))] = node.pop(place)
        case 2:
            node[place] = random.choice(random.choice(nodes) and list(_values(random.choice(nodes))))
        case 3:
            for _ in range(random.choice((1, 2, 60, 400))):
                node[place] = random.choice(([node[place]], {"type": node[place]}, {"items": node[place]}))
        case _:
            node[place] = random.choice(VALUES)
    return told


def _values(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def _gather(value: Any, nodes: list[Any]) -> None:
    if isinstance(value, dict | list) and value:
        nodes.append(value)
        for each in _values(value):
            _gather(each, nodes)


def _dumped(told: Any) -> bytes:
    try:
        return json.dumps(told).encode()
    except (ValueError, RecursionError):  # a branch inside itself
        return b"[" * 5_000


def _inline(value: Any) -> str:
    """As TOML on one line; what it has no word for as text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    return json.dumps(str(value))


JSON: Sequence[Mutator] = (
    *[json_changed] * 8,
    *text(b"[", b'{"a":', b'"', b"\\ud800", b"NaN", b"\x00", b"\xff", b"1e400"),
)
TOML: Sequence[Mutator] = (
    *[toml_changed] * 8,
    *text(
        *(
            b"[",
            b"[[",
            b"]",
            b"{a=",
            b'"',
            b'"""',
            b"= ",
            b"a.",
            b"\n",
            b"\x00",
            b"\xff",
            b"nan",
            b"inf",
            b"true",
            b"''",
        ),
        *(
            b"2026-02-30",
            b"0001-01-01T00:00:00+23:59",
            b"9999-12-31T23:59:59Z",
            b'"\\ud800"',
            b'"\\U0010ffff"',
            b"[1, 'a']",
        ),
    ),
)
