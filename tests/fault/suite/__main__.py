"""The long form: ``python -m tests.fault.suite --seconds 3600`` writes build/soak.json and ends with 1 on any harm."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.suite.campaign import EXPORT_SECONDS, campaign, run
from tests.fault.suite.faults import GREAT
from tests.fault.suite.world import world

LONG_SECONDS = 600.0
"""From then on every great fault and crash point has to come up, and memory has to be flat."""


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.fault.suite", description=__doc__)
    asked.add_argument("--seconds", type=float, default=600, help="how long faults are injected")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--faults", type=int, default=0, help="go on until there were at least so many")
    asked.add_argument("--rate", type=float, default=100, help="events a second from the sources")
    asked.add_argument("--export-seconds", type=float, default=EXPORT_SECONDS, help="from one export to the next")
    asked.add_argument(
        "--only", action="append", default=[], choices=[name for name, _ in GREAT], help="these faults and no storms"
    )
    asked.add_argument("--output", type=Path, default=Path("build/soak.json"))
    given = asked.parse_args()
    given.output.unlink(missing_ok=True)
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:7.1f}  {text}\n")
        sys.stdout.flush()

    directory = Path(tempfile.mkdtemp(prefix="lienthong-suite-"))
    say(f"three brokers and a database start; processes write to {directory}/processes.log")
    load = {"rate": given.rate, "seed": given.seed, "export_seconds": given.export_seconds}
    with world(directory) as there, campaign(there, **load, witness=True, say=say) as made:
        made.begin()
        if given.faults:
            made.storm(lambda: made.faults >= given.faults)
            made.calm()
        outcome = run(made, given.seconds, given.only)
    outcome.write(given.output)
    figures = outcome.figures()
    say(json.dumps({name: value for name, value in figures.items() if not isinstance(value, dict)}, indent=2))
    long = given.seconds >= LONG_SECONDS and not given.only
    grown = outcome.flat is False or (long and not outcome.flat)
    return int(not outcome.verdict.clean or bool(outcome.ledger.surprises) or grown or (long and bool(outcome.missing)))


if __name__ == "__main__":
    sys.exit(main())
