"""One ``lienthong`` command in a process of its own, which at its end writes down what it used.

``python -m tests.benchmarks.child USAGE.json ARGUMENT…``
"""

import json
import resource
import sys
from pathlib import Path

from bus.cli import main


def usage() -> dict[str, float]:
    """Processor time and the highest resident memory of this process since it began."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu_s": used.ru_utime + used.ru_stime, "rss_mb": _peak_kib() / 1024}


def _peak_kib() -> float:
    """From the kernel's own high-water mark: ``ru_maxrss`` would count the process that started this one too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    try:
        main(sys.argv[2:])
    finally:
        Path(sys.argv[1]).write_text(json.dumps(usage()), encoding="utf-8")
