import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from bus.errors import PathUnwritable, Unavailable
from bus.local.maven import _digest, _unpack, _whole_jar, archive, jars

KAFKA = ["org.apache.kafka:kafka_2.13:4.3.1"]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection goes to a proxy that is not there."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def write_zip(path: Path, **content: str) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in content.items():
            packed.writestr(name, text)


def test_first_use_without_network_is_one_clear_line(offline, tmp_path):
    with pytest.raises(Unavailable, match="needs a network") as refused:
        jars(KAFKA, cache=tmp_path)
    assert "\n" not in str(refused.value)
    with pytest.raises(Unavailable, match="needs a network"):
        archive("example.group:tool:1.0:tar.gz:all", cache=tmp_path)


def test_remembered_class_path_asks_no_network(offline, tmp_path):
    jar = tmp_path / "a.jar"
    jar.touch()
    remembered = tmp_path / "class-paths" / f"{_digest(KAFKA)}.json"
    remembered.parent.mkdir()
    remembered.write_text(json.dumps([str(jar)]))
    assert jars(KAFKA, cache=tmp_path) == [jar]
    jar.unlink()
    with pytest.raises(Unavailable):
        jars(KAFKA, cache=tmp_path)


def test_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PathUnwritable, match="file"):
        jars(KAFKA, cache=tmp_path / "file" / "cache")


def test_jar_that_was_cut_off_is_fetched_again(tmp_path):
    path = tmp_path / "a.jar"
    write_zip(path, a="text")
    path.write_bytes(path.read_bytes()[:20])

    class Artifact:
        def resolve(self) -> Path:
            if not path.exists():
                write_zip(path, a="text")
            return path

    assert zipfile.is_zipfile(_whole_jar(Artifact()))


def test_archives_unpack_whole_or_not_at_all(tmp_path):
    write_zip(tmp_path / "whole.zip", a="text")
    _unpack(tmp_path / "whole.zip", tmp_path / "from-zip")
    assert (tmp_path / "from-zip" / "a").read_text() == "text"

    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as packed:
        member = tarfile.TarInfo("folder/a")
        member.size = 4
        packed.addfile(member, io.BytesIO(b"text"))
    _unpack(tmp_path / "whole.tar.gz", tmp_path / "from-tar")
    assert (tmp_path / "from-tar" / "folder" / "a").read_text() == "text"

    half = tmp_path / "half.tar.gz"
    half.write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:40])
    with pytest.raises((EOFError, tarfile.TarError)):
        _unpack(half, tmp_path / "from-half")
    assert not (tmp_path / "from-half").exists()
