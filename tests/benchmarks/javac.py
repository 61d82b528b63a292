"""Compiles the benchmark's Java with the Eclipse compiler from Maven Central, on the JDK of the local stack."""

from collections.abc import Sequence
from pathlib import Path

from bus.local.java import run_tool
from bus.local.kafka import FORMAT_OPTIONS
from bus.local.maven import jars
from bus.local.progress import Report
from tests.stack import cache

COMPILER = "org.eclipse.jdt:ecj:3.42.0"
SOURCES = Path(__file__).parent / "java"
CONVERTER = "vn.lienthong.bench.FlatAvroConverter"
LEVEL = "-21"


def compiled(target: Path, class_path: Sequence[Path], report: Report) -> Path:
    """Compile every source under ``java/`` into ``target``, where Connect finds the converter by its service file.

    Raises Unavailable with the compiler's last words.
    """
    files = [str(path) for path in sorted(SOURCES.rglob("*.java"))]
    arguments = [LEVEL, "-nowarn", "-d", str(target), "-cp", ":".join(map(str, class_path)), *files]
    services = target / "META-INF" / "services"
    services.mkdir(parents=True, exist_ok=True)
    (services / "org.apache.kafka.connect.storage.Converter").write_text(f"{CONVERTER}\n", encoding="utf-8")
    compiler = jars([COMPILER], cache=cache(), report=report)
    run_tool("org.eclipse.jdt.internal.compiler.batch.Main", arguments, compiler, FORMAT_OPTIONS)
    return target
