"""Kafka's codecs with a bound: a batch of a megabyte may say that it is a terabyte, and a broker takes it."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cramjam

MOST_BYTES = 64 * 1024 * 1024
"""Of one batch when unpacked; producers make batches of a megabyte, and of up to some tens where all is alike."""
_FIRST_GUESS = 8  # times as large as packed: events come to 3 to 6 times
_LZ4_RATIO = 255  # the format can hold no more
_XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
_NO_ROOM = "whole buffer"  # in what cramjam says when there was not enough
_BLOCK_LENGTH = struct.Struct(">i")

Unpack = Callable[[memoryview], bytes]


class Unpackable(Exception):
    """Not of this codec, cut, or too large."""


def unpacked(codec: int, data: memoryview) -> bytes:
    """What a batch packed with Kafka's codec of this number holds. Raises Unpackable."""
    try:
        found = _CODECS[codec](data)
    except (KeyError, OSError, EOFError, ValueError, zlib.error, struct.error, cramjam.DecompressionError) as error:
        raise Unpackable(f"codec {codec}: {type(error).__name__}") from error
    if len(found) > MOST_BYTES:
        raise Unpackable(f"codec {codec}: more than {MOST_BYTES} bytes in one batch")
    return found


def _gzip(data: memoryview) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(MOST_BYTES + 1)


def _lz4(data: memoryview) -> bytes:
    if len(data) * _LZ4_RATIO <= MOST_BYTES:
        return bytes(cramjam.lz4.decompress(data))
    return _guessing(cramjam.lz4.decompress_into, data)


def _zstd(data: memoryview) -> bytes:
    return _guessing(cramjam.zstd.decompress_into, data)


def _guessing(unpack_into: Callable[[Any, bytearray], int], data: memoryview) -> bytes:
    """Into ever larger room, for none of these libraries can be told where to stop."""
    room = min(max(len(data), 4096) * _FIRST_GUESS, MOST_BYTES)
    while True:
        into = bytearray(room)
        try:
            return bytes(memoryview(into)[: unpack_into(data, into)])
        except cramjam.DecompressionError as error:
            if room == MOST_BYTES or _NO_ROOM not in str(error):
                raise
        room = min(room * _FIRST_GUESS, MOST_BYTES)


def _snappy(data: memoryview) -> bytes:
    """In one block, or in the framing of Xerial's library, which Java's client writes."""
    blocks = _xerial(data[len(_XERIAL) :]) if data[: len(_XERIAL)] == _XERIAL else [data]
    found, size = [], 0
    for block in blocks:
        size += cramjam.snappy.decompress_raw_len(block)
        if size > MOST_BYTES:
            raise ValueError("too large")
        found.append(bytes(cramjam.snappy.decompress_raw(block)))
    return b"".join(found)


def _xerial(data: memoryview) -> Iterator[memoryview]:
    while data:
        (size,) = _BLOCK_LENGTH.unpack_from(data)
        end = _BLOCK_LENGTH.size + size
        if size <= 0 or end > len(data):
            raise ValueError("a block that does not end")
        yield data[_BLOCK_LENGTH.size : end]
        data = data[end:]


_CODECS: Mapping[int, Unpack] = {0: bytes, 1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
