"""A folder into which exports are put: each is published once it is complete, and moved to ``done`` or ``failed``."""
