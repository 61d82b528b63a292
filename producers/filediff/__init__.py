"""File diff: an office that only has exports publishes what changed since the last one.

read -> parse -> check -> fingerprint -> compare with what was published -> send
"""
