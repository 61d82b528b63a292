"""What a producer packs is unpacked; what would fill memory is not."""

import cramjam
import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from bus import compression
from bus.compression import Unpackable, unpacked

PACK = {0: bytes, 1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}
CODECS = pytest.mark.parametrize("codec", PACK)


@CODECS
@pytest.mark.parametrize("size", [0, 1, 70_000, 9_000_000])
def test_what_was_packed_comes_back_however_little_of_it_there_was(codec: int, size: int) -> None:
    assert unpacked(codec, memoryview(PACK[codec](b"a" * size))) == b"a" * size


def test_snappy_of_other_clients_has_no_frames() -> None:
    assert unpacked(2, memoryview(bytes(cramjam.snappy.compress_raw(b"a" * 99)))) == b"a" * 99


@CODECS
def test_what_unpacks_to_more_than_the_bound_is_refused(codec: int, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = memoryview(PACK[codec](b"a" * 500_000))
    monkeypatch.setattr(compression, "MOST_BYTES", 499_999)
    with pytest.raises(Unpackable):
        unpacked(codec, packed)
    monkeypatch.setattr(compression, "MOST_BYTES", 500_000)
    assert len(unpacked(codec, packed)) == 500_000


@pytest.mark.parametrize("codec", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("rubbish", [b"rubbish" * 9, b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\xff\xff\xff\xfc"])
def test_rubbish_is_refused(codec: int, rubbish: bytes) -> None:
    with pytest.raises(Unpackable):
        unpacked(codec, memoryview(rubbish))
