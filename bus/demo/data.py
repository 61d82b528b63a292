"""Synthetic data of a city, the same for a seed on every machine: people, firms and dossiers that do not exist.

Wards, provinces and codes are real; names, numbers and addresses are drawn at random. Frames are typed as the
registers' states are and keep every rule in their ``.avsc`` files. All is done on columns, for millions of rows.
"""

from bus.demo.dossiers import dossiers
from bus.demo.firms import businesses
from bus.demo.households import civil_status, residence
from bus.demo.residents import AS_OF, people

__all__ = ["AS_OF", "businesses", "civil_status", "dossiers", "people", "residence"]
