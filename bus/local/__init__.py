"""Real servers on one machine with nothing but Python: for trying Liên thông, for its tests and its benchmarks."""
