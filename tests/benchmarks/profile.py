"""Where a replica's time goes while it fills: sampled from outside by py-spy, which leaves the code as it is."""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from rich.table import Table

from bus.errors import ConfigInvalid
from tests.benchmarks.replica import OurReplica
from tests.benchmarks.workshop import Workshop

SAMPLES_PER_SECOND = 200
SHOWN = 20
_NAMED = re.compile(r"thread \((\w+)\): ([^;]+?)(?:;| \d+$)")
_OURS = re.compile(r"\((?:bus|consumers)/")


def profiler(out: Path) -> list[str]:
    """The command before the replica's own. Raises ConfigInvalid where py-spy is not installed."""
    found = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if found is None:
        raise ConfigInvalid("a profile needs py-spy: pip install py-spy")
    return [
        found,
        "record",
        "--threads",
        "--rate",
        str(SAMPLES_PER_SECOND),
        "--format",
        "raw",
        "--output",
        str(out),
        "--",
    ]


def profile(shop: Workshop, out: Path) -> list[Table]:
    """Fill a replica in each store, unmeasured but sampled; the stacks are kept beside ``out``, as flame graphs want them."""
    topic, tables = shop.topic(shop.sizes.events), []
    with shop.servers.database("profile") as database:
        folder = shop.folder("profile")
        for name, url in (("postgresql", database), ("sqlite", f"sqlite:///{folder / 'replica.db'}")):
            stacks = out.with_name(f"profile-{name}.txt")
            OurReplica(folder / name, topic, url, wrapper=tuple(profiler(stacks))).fill()
            tables.append(shares(name, stacks.read_text(encoding="utf-8").splitlines()))
    return tables


def shares(name: str, stacks: list[str]) -> Table:
    """Samples by thread and by the innermost function of ours, with what it was calling."""
    names = dict(found.groups() for line in stacks if (found := _NAMED.match(line)))
    counted: Counter[tuple[str, str, str]] = Counter()
    for line in stacks:
        stack, _, samples = line.rpartition(" ")
        head, *frames = stack.split(";")
        number = head.partition("(")[2].partition(")")[0]
        ours = [frame for frame in frames if _OURS.search(frame)]
        where, leaf = (ours or ["-"])[-1], (frames or ["native code without Python"])[-1]
        counted[names.get(number, number), _function(where), _function(leaf)] += int(samples)
    return _table(name, counted)


def _table(name: str, counted: "Counter[tuple[str, str, str]]") -> Table:
    total = counted.total()
    table = Table("thread", "in", "doing", "share", title=f"Busy samples while filling {name}: {total:,}")
    for (thread, where, leaf), samples in counted.most_common(SHOWN):
        table.add_row(thread, where, leaf, f"{samples / total:.1%}")
    return table


def _function(frame: str) -> str:
    """``decode (consumers/reading/columns.py:60)`` without its line."""
    return re.sub(r":\d+\)$", ")", frame)
