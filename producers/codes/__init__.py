"""The platform's own adapter: the shared code lists as registers."""

from producers.codes.publishing import publish_codes

__all__ = ["publish_codes"]
