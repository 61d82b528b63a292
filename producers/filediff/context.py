"""By which rules rows of text are read: where any of them changes, each row is read anew. Pure."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version

from bus.names import AgencyCode
from bus.schema.codes import CodeList
from bus.schema.fields import RegisterSchema
from producers.filediff.fingerprint import FORM, digest


def context_of(
    schema: RegisterSchema, agency: AgencyCode, codes: Mapping[str, CodeList], more: Iterable[str] = ()
) -> str:
    """One word for this release of ours, the register's schema, the codes in force, the agency, and ``more``.

    ``more`` holds the text of whatever else has a say in what a row means, such as a mapping.
    """
    lists = (digest([name, *sorted(_words(each))]) for name, each in sorted(codes.items()))
    return digest([version("lienthong"), str(FORM), schema.text, agency, *lists, *more])


def _words(codes: CodeList) -> Iterable[str]:
    """What decides how a cell is read: the codes in force, and the names that stand for them."""
    return (f"{entry.code} {entry.name_vi}" for entry in codes.in_force)
