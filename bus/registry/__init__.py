"""Schema registries: two ways to the ids behind one interface."""
