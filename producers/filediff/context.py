"""By which rules rows of text are read: where any of them changes, each row is read anew. Pure."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.resources.abc import Traversable

from bus.names import AgencyCode
from bus.schema.codes import CodeList, load_codes
from bus.schema.fields import RegisterSchema
from producers.filediff.fingerprint import FORM, digest


def context_of(
    schema: RegisterSchema, agency: AgencyCode, schemas: Traversable | None, more: Iterable[str] = ()
) -> str:
    """One word for this release of ours, the register's schema, the code lists in force, the agency, and ``more``.

    ``more`` holds the text of whatever else has a say in what a row means, such as a mapping.
    """
    lists = (digest([name, *sorted(each.current)]) for name, each in sorted(lists_of(schemas).items()))
    return digest([version("lienthong"), str(FORM), schema.text, agency, *lists, *more])


def lists_of(schemas: Traversable | None) -> Mapping[str, CodeList]:
    """The code lists of a schemas folder that has some, otherwise the shipped ones."""
    return load_codes(schemas if schemas is not None and (schemas / "codes").is_dir() else None)
