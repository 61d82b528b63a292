"""Cleaning and validation of resident.identity, rows a second on one core: ``python -m tests.benchmarks.cleaning``.

Two synthetic exports: one in UTF-8 that has little to clean, one in TCVN3 in which every row is changed in six places.
From the cells as read to states that may go out; the reading of the file is not in it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

import polars as pl

from bus.catalog import load_catalog
from bus.names import AgencyCode
from bus.schema.avsc import load_register
from producers.cleaning.fonts import Encoding, decoding
from producers.filediff.check import check
from producers.filediff.parse import parse
from producers.filediff.reader import CHUNK_ROWS, Chunk
from producers.mapping import Mapping

REGISTER, POLICE, ROUNDS = "resident.identity", AgencyCode("H29.5"), 4
FIELDS = {
    "personal_id": {"from": "CCCD", "parse": "personal_id"},
    "full_name": {"from": ["HO", "TEN"], "rules": ["text", "name"]},
    "birth_date": {"from": "NGAY_SINH", "parse": "date"},
    "sex": {"from": "GT", "codes": {"1": "male", "2": "female"}},
    "nationality": {"from": "QT", "default": "VN"},
    "native_place": "QUE",
    "birth_place": "NOI_SINH",
    "card_issue_date": {"from": "NGAY_CAP", "parse": "date", "formats": ["dd/mm/yyyy"]},
    "status": {"constant": "active"},
}


def main() -> None:
    if os.environ.get("POLARS_MAX_THREADS") is None:
        env = {**os.environ, "POLARS_MAX_THREADS": "1"}
        sys.exit(subprocess.run([sys.executable, "-m", "tests.benchmarks.cleaning"], env=env, check=False).returncode)
    for name, rate in measure().items():
        print(f"{name}: {rate:,.0f} rows/s, {pl.thread_pool_size()} thread")  # noqa: T201 - what it is run for


def measure(rows: int = CHUNK_ROWS) -> dict[str, float]:
    """Rows a second by kind of export, the best of a few rounds."""
    cells = plain(rows)
    return {
        "UTF-8, little to clean": _rate(Encoding.UTF8, cells),
        "TCVN3, every row changed": _rate(Encoding.TCVN3, _in_tcvn3(cells)),
    }


def plain(rows: int) -> pl.DataFrame:
    """Synthetic people, whose numbers agree with their sex and birth date."""
    families, names = ["Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh"], ["Văn Đức", "Thị Bích Ngọc", "Minh Tâm", "Thị Hoà"]
    numbers = range(rows)
    return pl.DataFrame(
        {
            "CCCD": [f"0790{number % 100:02d}{number:06d}" for number in numbers],
            "HO": [families[number % 5] for number in numbers],
            "TEN": [f"{names[number % 4]} {'abcdefgh'[number % 8]}{'ijklmnop'[number // 8 % 8]}" for number in numbers],
            "NGAY_SINH": [f"{number % 28 + 1:02d}/{number % 12 + 1:02d}/19{number % 100:02d}" for number in numbers],
            "GT": ["1"] * rows,
            "QT": [None if number % 3 else "VN" for number in numbers],
            "QUE": [f"Ấp {number}, xã Bình Mỹ, Thành phố Hồ Chí Minh" for number in numbers],
            "NOI_SINH": [f"Bệnh viện số {number % 50}" for number in numbers],
            "NGAY_CAP": [f"{number % 28 + 1:02d}/04/2021" for number in numbers],
        }
    )


def _in_tcvn3(cells: pl.DataFrame) -> pl.DataFrame:
    from viparse.normalize.encodings import CHARMAPS  # noqa: PLC0415 - the adapters' own way of loading it

    letters = {new: old for old, new in CHARMAPS["tcvn3"].pairs}
    made = cells.with_columns(pl.all().str.replace_many(letters).str.replace_all("Ấ", "Ê"))
    sound = decoding(Encoding.TCVN3)[0]
    assert made.select(sound.clean(pl.col("QUE")).is_not_null().all()).item()
    return made


def _rate(encoding: Encoding, cells: pl.DataFrame) -> float:
    schema, register = load_register(REGISTER)[-1], load_catalog().register(REGISTER)
    mapping = Mapping.of({"register": REGISTER, "source": {"encoding": encoding}, "fields": FIELDS}, schema)
    lines = pl.int_range(2, cells.height + 2, eager=True)

    def once() -> None:
        cleaned = mapping.apply(cells, lines)
        checked = check(Chunk(lines, cells), parse(Chunk(lines, cleaned.frame), schema), register, schema, POLICE)
        assert checked.good.height == cells.height, checked.refused.head(3)

    return cells.height / min(_seconds(once) for _ in range(ROUNDS))


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
