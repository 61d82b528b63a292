"""Files from Maven's central repository, fetched once and kept: jars with all they need, and unpacked archives.

The resolver is jgo's, in pure Python; it knows where the repository is (``~/.config/jgo.conf`` may add others). No Java
and no ``mvn`` are needed. What was resolved is remembered in small JSON files, so that a later start asks no network.
"""

import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from bus.errors import Unavailable
from bus.local.locking import locked, writing_in
from bus.local.progress import SILENT, Advance, Report

if TYPE_CHECKING:
    from jgo.maven import Artifact

DEFAULT_CACHE = Path("~/.cache/lienthong").expanduser()
DOWNLOAD_TIMEOUT_SECONDS = 60
"""For one answer, not for a file; jgo's own 10 s is short on a slow line."""


def jars(coordinates: Sequence[str], *, cache: Path = DEFAULT_CACHE, report: Report = SILENT) -> list[Path]:
    """Return the class path of ``coordinates`` (``group:artifact:version``) and all they need at run time.

    The first coordinate's own pins decide the versions of what the others share. Raises ``Unavailable`` without a
    network on first use, ``PathUnwritable`` when ``cache`` cannot be written.
    """
    remembered = cache / "class-paths" / f"{_digest(coordinates)}.json"
    found = _remembered(remembered)
    if found is not None:
        return found
    with locked(cache / ".lock", report.say):
        return _remembered(remembered) or _download_jars(coordinates, cache, report, remembered)


def archive(coordinate: str, *, cache: Path = DEFAULT_CACHE, report: Report = SILENT) -> Path:
    """Return the folder into which the archive ``group:artifact:version:type[:classifier]`` is unpacked.

    The type is ``tar.gz`` or ``zip``. Errors as for ``jars``.
    """
    target = cache / "archives" / coordinate.replace(":", "_")
    if target.is_dir():
        return target
    with locked(cache / ".lock", report.say):
        if not target.is_dir():
            with report.download(coordinate) as advance, writing_in(cache), _one_clear_error(coordinate):
                packed = _fetch(coordinate, cache, advance)
                _unpack(packed, target)
                packed.unlink()
    return target


def _download_jars(coordinates: Sequence[str], cache: Path, report: Report, remembered: Path) -> list[Path]:
    with report.download(coordinates[0]) as advance, writing_in(cache), _one_clear_error(coordinates[0]):
        found = _resolve(coordinates, cache, advance)
        _write(remembered, json.dumps([str(path) for path in found], indent=1))
    return found


def _resolve(coordinates: Sequence[str], cache: Path, advance: Advance) -> list[Path]:
    context = _context(cache, advance)
    first, *others = coordinates
    # "!" keeps a coordinate's dependencyManagement out: log4j's would pull kafka-clients back to another release.
    inputs = [context.create_dependency(text) for text in (first, *(f"{other}!" for other in others))]
    chosen, needed = context.resolver.resolve(inputs)
    wanted = [*chosen, *(each for each in needed if each.scope in ("compile", "runtime"))]
    return [_whole_jar(dependency.artifact) for dependency in wanted]


def _whole_jar(artifact: "Artifact") -> Path:
    """Resolve one jar; fetch it again when an earlier run was killed while it wrote the file."""
    path = artifact.resolve()
    if not zipfile.is_zipfile(path):
        path.unlink()
        path = artifact.resolve()
    return path


def _fetch(coordinate: str, cache: Path, advance: Advance) -> Path:
    group, name, version, packaging, *classifier = coordinate.split(":")
    component = _context(cache, advance).project(group, name).at_version(version)
    artifact = component.artifact(classifier[0] if classifier else "", packaging)
    if artifact.cached_path is not None:  # left by a killed run, perhaps half: whole ones are removed
        artifact.cached_path.unlink(missing_ok=True)
    return artifact.resolve()


def _unpack(packed: Path, target: Path) -> None:
    """Unpack beside ``target`` and rename, so that a half-unpacked folder is never taken for a whole one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        inside = Path(folder) / "content"
        if zipfile.is_zipfile(packed):
            shutil.unpack_archive(packed, inside, "zip")
        else:
            with tarfile.open(packed) as tarred:
                tarred.extractall(inside, filter="data")
        inside.rename(target)


class _Resolver(PythonResolver):
    """Leaves no half-written file behind when a download fails or is interrupted."""

    def download(self, artifact: "Artifact") -> Path | None:
        try:
            return super().download(artifact)
        except BaseException:
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)
            raise


def _context(cache: Path, advance: Advance) -> MavenContext:
    @contextmanager
    def shown(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    resolver = _Resolver(progress_callback=shown)
    context = MavenContext(resolver, repo_cache=cache / "repository", timeout=DOWNLOAD_TIMEOUT_SECONDS)
    context.remote_repos.update(GlobalSettings.load().repositories)
    return context


def _digest(coordinates: Sequence[str]) -> str:
    return sha256("+".join(coordinates).encode()).hexdigest()[:16]


def _remembered(path: Path) -> list[Path] | None:
    """Read a class path; None if it was never resolved or a jar of it is gone."""
    try:
        found = [Path(text) for text in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return None
    return found if all(jar.is_file() for jar in found) else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
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
        raise Unavailable(f"cannot download {what}: the package repository does not have all of it") from error
