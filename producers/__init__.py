"""Adapters: what an agency embeds or runs to publish its registers."""
