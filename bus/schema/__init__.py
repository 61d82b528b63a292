"""Registers' schemas, the rules in them, and what follows from the rules: refusals, columns, models, compatibility."""

from bus.schema.avsc import check_style, load_all, load_register
from bus.schema.codes import Code, CodeList, load_codes
from bus.schema.columns import broken, frame_schema
from bus.schema.compatibility import Incompatibility, check_compatible
from bus.schema.fields import Field, Record, RegisterSchema
from bus.schema.folder import schemas_folder
from bus.schema.rules import Refusal, refusals
from bus.schema.state import RegisterState, StatePart

__all__ = [
    "Code",
    "CodeList",
    "Field",
    "Incompatibility",
    "Record",
    "Refusal",
    "RegisterSchema",
    "RegisterState",
    "StatePart",
    "broken",
    "check_compatible",
    "check_style",
    "frame_schema",
    "load_all",
    "load_codes",
    "load_register",
    "refusals",
    "schemas_folder",
]
