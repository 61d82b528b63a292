"""Files from Maven's central repository, fetched once and kept: jars with all they need, and unpacked archives.

The resolver is jgo's, in pure Python; it knows where the repository is (``~/.config/jgo.conf`` may add others). No Java and no
``mvn`` are needed. What was resolved is remembered in small JSON files, so that a later start asks no network.
"""

import fcntl
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from bus.errors import PathUnwritable, Unavailable
from bus.local.progress import Advance, Report, Silent

DOWNLOAD_TIMEOUT_SECONDS = 60
"""For one answer, not for a file; jgo's own 10 s is short on a slow line."""


def jars(coordinates: Sequence[str], *, cache: Path, report: Report | None = None) -> list[Path]:
    """Return the class path of ``coordinates`` (``group:artifact:version``) and all they need at run time.

    The first coordinate's own pins decide the versions of what the others share. Raises ``Unavailable`` without a network on
    first use, ``PathUnwritable`` when ``cache`` cannot be written.
    """
    remembered = cache / "class-paths" / f"{_digest(coordinates)}.json"
    with _lock(cache):
        found = _remembered(remembered)
        if found is None:
            with (report or Silent()).download(coordinates[0]) as advance, _one_clear_error(coordinates[0]):
                found = _resolve(coordinates, cache, advance)
            _write(remembered, json.dumps([str(path) for path in found], indent=1))
        return found


def archive(coordinate: str, *, cache: Path, report: Report | None = None) -> Path:
    """Return the folder into which the archive ``group:artifact:version:type[:classifier]`` (tar.gz or zip) is unpacked."""
    target = cache / "archives" / coordinate.replace(":", "_")
    with _lock(cache):
        if not target.is_dir():
            with (report or Silent()).download(coordinate) as advance, _one_clear_error(coordinate):
                packed = _fetch_archive(coordinate, cache, advance)
            _unpack(packed, target)
            packed.unlink()
        return target


def _resolve(coordinates: Sequence[str], cache: Path, advance: Advance) -> list[Path]:
    context = _context(cache, advance)
    first, *others = coordinates
    # "!" keeps a coordinate's dependencyManagement out: log4j's would pull Kafka's own client library back to another release.
    inputs = [_dependency(context, first), *(_dependency(context, f"{other}!") for other in others)]
    chosen, needed = context.resolver.resolve(inputs)
    wanted = [*chosen, *(each for each in needed if each.scope in ("compile", "runtime"))]
    return [_whole_jar(dependency.artifact) for dependency in wanted]


def _dependency(context: MavenContext, coordinate: str) -> Any:
    return context.create_dependency(coordinate)


def _whole_jar(artifact: Any) -> Path:
    """Resolve one artifact; fetch it again when an earlier run was cut off while it wrote the file."""
    path = Path(artifact.resolve())
    if not zipfile.is_zipfile(path):
        path.unlink()
        path = Path(artifact.resolve())
    return path


def _fetch_archive(coordinate: str, cache: Path, advance: Advance) -> Path:
    group, name, version, packaging, *classifier = coordinate.split(":")
    component = _context(cache, advance).project(group, name).at_version(version)
    artifact = component.artifact(classifier[0] if classifier else "", packaging)
    if artifact.cached_path.exists():  # only an interrupted run leaves one: a finished one is unpacked and removed
        artifact.cached_path.unlink()
    return Path(artifact.resolve())


def _unpack(packed: Path, target: Path) -> None:
    """Unpack beside ``target`` and rename, so that a half-unpacked folder is never taken for a whole one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        inside = Path(folder) / "content"
        if packed.name.endswith(".zip"):
            with zipfile.ZipFile(packed) as zipped:
                zipped.extractall(inside)
        else:
            with tarfile.open(packed) as tarred:
                tarred.extractall(inside, filter="data")
        shutil.move(inside, target)


class _Resolver(PythonResolver):  # type: ignore[misc]
    """Leaves no half-written file behind when a download fails or is interrupted."""

    def download(self, artifact: Any) -> Path | None:
        try:
            return super().download(artifact)  # type: ignore[no-any-return]
        except BaseException:
            artifact.cached_path.unlink(missing_ok=True)
            raise


def _context(cache: Path, advance: Advance) -> MavenContext:
    @contextmanager
    def shown(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    context = MavenContext(
        resolver=_Resolver(progress_callback=shown), repo_cache=cache / "repository", timeout=DOWNLOAD_TIMEOUT_SECONDS
    )
    context.remote_repos.update(GlobalSettings.load().repositories)
    return context


def _digest(coordinates: Sequence[str]) -> str:
    return sha256("+".join(coordinates).encode()).hexdigest()[:16]


def _remembered(path: Path) -> list[Path] | None:
    """Read a class path; None if it was never resolved or a jar of it is gone."""
    try:
        found = [Path(text) for text in json.loads(path.read_text())]
    except (FileNotFoundError, ValueError):
        return None
    return found if all(jar.is_file() for jar in found) else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


@contextmanager
def _one_clear_error(what: str) -> Iterator[None]:
    try:
        yield
    except requests.RequestException as error:
        raise Unavailable(
            f"cannot download {what}: the package repository does not answer; the first start needs a network"
        ) from error
    except RuntimeError as error:  # jgo's word for "no repository has it"
        raise Unavailable(f"cannot download {what}: no package repository has it, or none answers") from error


def _lock(cache: Path) -> AbstractContextManager[None]:
    """Let one process at a time download into ``cache``; the operating system frees the lock of one that dies."""
    return locked(cache / ".lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` (made if missing), waiting for whoever holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        raise PathUnwritable(f"cannot write in {path.parent}: {error.strerror}; choose another directory") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
