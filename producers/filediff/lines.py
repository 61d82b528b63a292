"""The lines of a text file as UTF-8, whatever encoding it was declared to be in. Bytes are decoded, never guessed at.

A byte that is no character of the encoding is passed on as it is, so that its line, not UTF-8 either, is refused alone.
"""

import codecs
import io
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import BinaryIO, Protocol

from bus.errors import ConfigInvalid, FileRefused

UTF8 = "utf-8"
UTF16 = ("utf-16", "utf-16-le", "utf-16-be")
ENCODINGS = (UTF8, *UTF16, "cp1258", "cp1252", "iso8859-1")
EXPECTED = "UTF-8, or another encoding that --encoding declares; TCVN3 and VNI are declared in a mapping"
FONTS = ("tcvn3", "vni")
MARKS = {codecs.BOM_UTF8: UTF8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
LINE_BYTES = 1 << 20  # more than a row may have
BLOCK_BYTES = 32 << 20  # 25,000 rows of the usual size come to 5 MB
LINES_AT_ONCE = 32
DOS_END = b"\x1a"
"""Programs of DOS end a text file with this character."""


class Lines(Protocol):
    """What a reader needs of a file; an open binary file has it."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...

    def readline(self, size: int = -1, /) -> bytes: ...


def encoding_named(given: str) -> str:
    """The encoding's one name. Raises ConfigInvalid."""
    if given.lower() in FONTS:
        raise ConfigInvalid(
            f"{given} is a matter of fonts, not of bytes: declare it in the source's mapping (--mapping)"
        )
    try:
        name = codecs.lookup(given).name
    except LookupError:
        name = ""
    if name not in ENCODINGS:
        raise ConfigInvalid(f"{given}: no encoding that exports are read in; choose one of {', '.join(ENCODINGS)}")
    return name


def lines(stream: BinaryIO, name: str, encoding: str) -> Lines:
    """Raises FileRefused where the file's first bytes say another encoding than the declared one."""
    start = stream.read(4)
    stream.seek(0)
    marked = next((marked for mark, marked in MARKS.items() if start.startswith(mark)), None)
    if marked and marked != encoding and not (marked == "utf-16" and encoding in UTF16):
        raise FileRefused(
            f"{name}: is marked as {marked.upper()} by its first bytes, but was declared as {encoding.upper()}; pass "
            f"--encoding {marked}"
        )
    return stream if encoding == UTF8 else Recoded(stream, name, encoding)


def charset_of(stream: Lines) -> str:
    """As it was declared, for people."""
    return (stream.encoding if isinstance(stream, Recoded) else UTF8).upper()


def expected_of(stream: Lines) -> str:
    """What is told of bytes that are none of the declared encoding's characters."""
    if charset_of(stream) == UTF8.upper():
        return EXPECTED
    return f"{charset_of(stream)}, as was declared; declare what it is: --encoding, or charset in the mapping's source"


def pieces(stream: Lines) -> Iterator[bytes]:
    """The lines, one that does not end in pieces: each is too long for a row."""
    return iter(partial(stream.readline, LINE_BYTES), b"")


def taken(lines: Iterator[bytes], count: int) -> list[bytes]:
    """The next so many lines, fewer where they are long."""
    found: list[bytes] = []
    size = 0
    while len(found) < count and size < BLOCK_BYTES:
        some = list(islice(lines, min(LINES_AT_ONCE, count - len(found))))
        if not some:
            break
        found += some
        size += sum(map(len, some))
    return found


class Recoded:
    """A text file in another encoding, read as if it were in UTF-8."""

    def __init__(self, stream: BinaryIO, name: str, encoding: str) -> None:
        self._name = name
        self.encoding = encoding
        errors = "strict" if encoding in UTF16 else "surrogateescape"
        self._text = io.TextIOWrapper(stream, encoding, errors=errors, newline="\n")
        self._rest = b""

    def read(self, size: int) -> bytes:
        """A line at least."""
        found = self._rest
        while len(found) < size and (line := self.readline()):
            found += line
        return found

    def seek(self, offset: int) -> int:
        """To a byte of the text in UTF-8."""
        self._text.seek(0)
        start = self.readline()
        self._rest = start[offset:]
        return offset

    def readline(self, size: int = -1) -> bytes:
        """A line, or so many characters of it."""
        if self._rest:
            found, self._rest = self._rest, b""
            return found
        try:
            return self._text.readline(size).encode("utf-8", "surrogateescape")
        except UnicodeError as error:
            why = "ends in the middle of a character: half-written" if "truncated" in str(error) else "is not"
            raise FileRefused(
                f"{self._name}: {why} {self.encoding.upper()}; wait until it is complete, or pass its --encoding"
            ) from error
