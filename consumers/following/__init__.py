"""Following one register: bootstrap it, keep up, rebuild it beside the live table when old rows lack something."""

from consumers.following.following import Following
from consumers.following.lanes import LaneTerms

__all__ = ["Following", "LaneTerms"]
