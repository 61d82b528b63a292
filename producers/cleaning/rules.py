"""All rules by the names that a mapping file calls them by."""

from collections.abc import Mapping
from types import MappingProxyType

from producers.cleaning import dates, dossier_codes, names, numbers, personal_ids, phones, tax_codes, text, wards
from producers.cleaning.rule import Rule


def _named(*rules: Rule) -> dict[str, tuple[Rule, ...]]:
    return {rule.name: (rule,) for rule in rules}


CLEANERS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "text": text.TEXT,
        **_named(*text.TEXT, text.UPPER, names.NAME, names.TITLE, personal_ids.LOST_ZEROS),
    }
)
"""For ``rules``: any number, in the order in which they are named."""

PARSERS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    _named(
        dates.dates(),
        dates.timestamps(),
        phones.PHONE,
        personal_ids.PERSONAL_ID,
        tax_codes.TAX_CODE,
        dossier_codes.DOSSIER_CODE,
        wards.WARD,
        wards.OLD_WARD,
        numbers.NUMBER,
    )
)
"""For ``parse``: one at most, after the rules."""
