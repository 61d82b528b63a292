"""Parked events on their way out: room for those that wait, the dead-letter topic, replays."""
