"""Cleaning: pure functions of text columns, each of which tells what it changed, doubts and refuses."""

from producers.cleaning.column import Account, clean
from producers.cleaning.names import name_key
from producers.cleaning.rule import Doubt, Rule
from producers.cleaning.rules import CLEANERS, PARSERS

__all__ = ["CLEANERS", "PARSERS", "Account", "Doubt", "Rule", "clean", "name_key"]
