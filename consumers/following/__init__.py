"""Following one register: bootstrap it, keep up, rebuild it beside the live table when old rows lack something."""

from consumers.following.following import Following

__all__ = ["Following"]
