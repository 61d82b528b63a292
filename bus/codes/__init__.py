"""Code lists as they are published on the bus: read from their topics or a replica, kept on disk, in force on a day."""

from bus.codes.book import Codebook
from bus.codes.opening import open_codes
from bus.codes.settings import CodesFrom

__all__ = ["Codebook", "CodesFrom", "open_codes"]
