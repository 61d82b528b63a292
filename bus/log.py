"""Logs: structlog, JSON lines on stderr, event names in the past tense, no personal values."""

import logging
import sys
from typing import TextIO, cast

import structlog


def configure(*, json: bool = True, level: int = logging.INFO) -> None:
    """Set up logging for a process; called once, by a command, never by the library."""
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False) if json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StderrNow())),
        cache_logger_on_first_use=False,  # a cached logger would keep the level of the first command, tests' too
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs what we raise or retry, and keys in debug
    logging.getLogger("asyncio").addFilter(_told_as_fenced)


def _told_as_fenced(record: logging.LogRecord) -> bool:
    """Drop what aiokafka leaves unread in futures after a takeover: it was raised as Fenced already."""
    return not (record.exc_info and record.exc_info[0] and record.exc_info[0].__name__ == "ProducerFenced")


class _StderrNow:
    """Whatever stderr is when a line is written: tests and daemons replace it, and loggers outlive that."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def masked(key: str) -> str:
    """A key as a log line or a terminal may show it: its first three characters, the rest starred.

    The first three digits of a personal ID say where a birth was registered, not who it is.
    """
    return key[:3] + "*" * (len(key) - 3)
