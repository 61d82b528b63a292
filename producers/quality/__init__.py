"""The quality of what an agency hands in, run after run: kept beside the adapter's state, shown as a trend."""

from producers.quality.history import History, history_file
from producers.quality.run import Run, counters

__all__ = ["History", "Run", "counters", "history_file"]
