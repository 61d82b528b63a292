"""Plain text: control characters, blanks, Đ, Unicode's composed form, letters that were lost on the way."""

import polars as pl

from producers.cleaning.rule import Doubt, Rule

# C0 and C1 less those that divide lines or words; soft hyphen; zero width; direction; byte order mark.
INVISIBLE = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u{ad}\u{61c}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{206f}\u{feff}]"
)
LOST = "\ufffd"
QUESTION = r"\p{L}\?\p{L}"
# Latin letters up to U+02FF and Vietnam's in U+1E00 to U+1EFF are composed already; anything else may not be.
MAYBE_NOT_COMPOSED = r"[^\x00-\u{2ff}\u{1e00}-\u{1eff}]"
STROKES = {"Ð": "Đ", "Ɖ": "Đ", "ð": "đ", "ɖ": "đ"}
"""Letters of Icelandic and Ewe that look like Đ and stand for it in Vietnamese text; U+00D0 is Windows-1252's."""


def _spaces(column: pl.Expr) -> pl.Expr:
    spaced = column.str.replace_all(r"\s+", " ").str.strip_chars(" ")
    return pl.when(spaced != "").then(spaced)


CONTROLS = Rule(
    name="controls",
    says="removes control and zero-width characters",
    clean=lambda column: column.str.replace_all(INVISIBLE, ""),
    where=INVISIBLE,
)
SPACES = Rule(
    name="spaces",
    says="makes runs of blanks of any kind, tabs and line ends one space; removes them at the ends",
    clean=_spaces,
    where=r"\s\s|[^\S ]|^ | $|^$",
)
D_STROKE = Rule(
    name="d_stroke",
    says="makes Ð (U+00D0) and its likes the Vietnamese Đ",
    clean=lambda column: column.str.replace_many(STROKES),
    where=f"[{''.join(STROKES)}]",
)
NFC = Rule(
    name="nfc",
    says="puts letters and their marks into Unicode's composed form NFC",
    clean=lambda column: column.str.normalize("NFC"),
    where=MAYBE_NOT_COMPOSED,
)
LOST_LETTERS = Rule(
    name="lost_letters",
    says="refuses text with U+FFFD; doubts a question mark between letters",
    clean=lambda column: pl.when(~column.str.contains(LOST, literal=True)).then(column),
    refuses=lambda before, after: before.is_not_null() & after.is_null(),
    expected="text whose letters survived; U+FFFD stands where one was lost: export it again, or type it anew",
    doubts=(
        Doubt(
            "lost_letters",
            "letters where question marks stand; the export may have been saved in an encoding without Vietnamese",
            lambda _, after: after.str.contains(QUESTION),
        ),
    ),
    where=f"{LOST}|{QUESTION}",
)
UPPER = Rule(
    name="upper",
    says="capitals throughout: for columns typed in a capitals font, such as .VnTimeH",
    clean=lambda column: column.str.to_uppercase().str.normalize("NFC"),
)

TEXT = (CONTROLS, SPACES, D_STROKE, NFC, LOST_LETTERS)
"""What ``text`` stands for in a mapping, in this order: what is left is what every register takes as text."""
