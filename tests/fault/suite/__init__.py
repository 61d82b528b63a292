"""Faults on purpose: a whole small city of real servers and processes, what breaks it, and a judge of what is left.

``python -m tests.fault.suite --seconds 600`` runs it; ``tests/fault/test_suite.py`` is its bounded form.
"""
