"""How large the tests are that kill at random: small here, large in ``make soak-adapters``."""

import os

KILLS = int(os.environ.get("LIENTHONG_SOAK_KILLS", "2"))
"""How often an adapter is killed; ``make soak-adapters`` sets 200."""
CHANGES = int(os.environ.get("LIENTHONG_SOAK_CHANGES", "200"))
"""How many changes are made meanwhile; ``make soak-adapters`` sets 50,000."""
