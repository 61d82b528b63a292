import io

from rich.console import Console

from bus.local.progress import PLAIN_LINE_EVERY_BYTES, ConsoleReport


def report_on(terminal: bool) -> tuple[ConsoleReport, io.StringIO]:
    output = io.StringIO()
    return ConsoleReport(Console(file=output, force_terminal=terminal, width=100)), output


def test_elsewhere_than_on_a_terminal_progress_is_plain_lines():
    report, output = report_on(terminal=False)
    with report.download("kafka") as advance:
        for _ in range(5):
            advance(PLAIN_LINE_EVERY_BYTES // 2)
    lines = output.getvalue().splitlines()
    assert lines[1:] == ["downloading kafka: 16 MiB so far", "downloading kafka: 32 MiB so far"]
    assert "\x1b" not in output.getvalue()


def test_terminal_shows_a_bar_with_the_name():
    report, output = report_on(terminal=True)
    with report.download("kafka") as advance:
        advance(1)
    assert "downloading kafka" in output.getvalue()
