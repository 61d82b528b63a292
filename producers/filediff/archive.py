"""A workbook's parts before they are parsed: none may ask for memory without end.

A workbook is a ZIP archive of XML, in which a kilobyte may say a megabyte, and of which the parser keeps a row, or a
text, or a list of styles whole.
"""

import re
import zipfile
from typing import BinaryIO

from bus.errors import FileRefused

MB = 1024 * 1024
PIECE_BYTES = MB
MOST_PARTS = 2_000
MOST_BETWEEN = 8 * MB
"""Bytes without the edge of a row or of a shared text: 16,384 cells, the most that a row has, come to 2 MB."""
MOST_TEXTS = 256 * MB
"""Of a part without rows, such as that of the shared texts."""
MOST_ROWS = 1_048_576
"""Excel's own limit of a sheet."""
_EDGE = re.compile(rb"<(/?)(?:\w{1,20}:)?(row|si)\b")
_MARKUP = re.compile(rb"<!(?!--)")
"""Document types, entities and CDATA, which no spreadsheet program writes."""
_OVERLAP = 32  # bytes, so that no tag is cut in two


def check_archive(stream: BinaryIO, name: str) -> None:
    """Raises FileRefused, and what ``zipfile`` raises for a damaged archive. Leaves the stream at its beginning."""
    with zipfile.ZipFile(stream) as archive:
        parts = archive.infolist()
        if len(parts) > MOST_PARTS:
            raise FileRefused(f"{name}: {len(parts)} parts in one workbook; save the sheet alone")
        for part in parts:
            if not _is_picture(part):
                _check(archive, part, name)
    stream.seek(0)


def _is_picture(part: zipfile.ZipInfo) -> bool:
    return part.filename.startswith("xl/media/") and part.file_size <= 3 * part.compress_size


def _check(archive: zipfile.ZipFile, part: zipfile.ZipInfo, name: str) -> None:
    done = edge = rows = 0
    kept = b""
    with archive.open(part) as file:
        while piece := file.read(PIECE_BYTES):
            start, piece = done - len(kept), kept + piece
            if _MARKUP.search(piece):
                raise FileRefused(f"{name}: {part.filename} is not what a spreadsheet program writes; save it again")
            for found in _EDGE.finditer(piece, 0, len(piece)):
                if found.end() > len(kept):
                    edge = start + found.start()
                    rows += found[2] == b"row" and not found[1]
            done, kept = start + len(piece), piece[-_OVERLAP:]
            if done - edge > MOST_BETWEEN or rows > MOST_ROWS or (not rows and done > MOST_TEXTS):
                raise FileRefused(f"{name}: {part.filename} is too large to be read; save the sheet alone, or as CSV")
