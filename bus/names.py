"""Ids with types of their own, so that a checker sees when one is passed for another."""

from typing import NewType

AgencyCode = NewType("AgencyCode", str)
"""Code of a department, ward or central branch office, such as ``H29.5``."""

RegisterName = NewType("RegisterName", str)
"""Subject kind and register, such as ``resident.identity``."""

SubjectKind = NewType("SubjectKind", str)
"""``resident``, ``business``, ``dossier``, or ``code`` for the platform's shared code lists."""

TopicName = NewType("TopicName", str)

SchemaId = NewType("SchemaId", int)
"""Id in the wire format's four bytes: 1 to 2**31 - 1."""
