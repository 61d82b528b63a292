"""``python -m tests.benchmarks``: every path beside its peers, on real servers, in one run.

What is measured, and how, stands in ``docs/performance.md``.
"""
