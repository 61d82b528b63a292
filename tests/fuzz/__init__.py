"""Rubbish for everything that reads bytes from others: it parses, or it is refused with an error that is documented."""
