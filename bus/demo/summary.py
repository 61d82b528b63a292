"""The demo's last page: what was published, what arrived, what it proves."""

from rich.table import Table

from bus.cli import console
from bus.demo.form import Answer
from bus.demo.story import Story


def print_summary(story: Story) -> None:
    console.rule("[bold]Summary", align="left")
    console.print(_published(story))
    console.print(_replicas(story))
    for name, seconds in story.arrivals.items():
        console.print(f"new address readable at [bold]{name}[/] {seconds * 1000:,.0f} ms after the police recorded it")
    console.print(_form(story.answers))
    answered = sum(answer.value is not None for answer in story.answers)
    console.print(f"{answered} of {len(story.answers)} fields came from registers; the citizen is asked for the rest")
    console.print(
        "[bold green]both replicas equal what was published, row by row[/]"
        if story.equal
        else "[bold red]the replicas differ from what was published[/]"
    )


def _published(story: Story) -> Table:
    table = Table("register", "agency", "rows in the file", "published", "refused", title="Published")
    for name, report in story.reports.items():
        numbers = (report["rows"], report["events"], report["refused_rows"])
        table.add_row(name, report["agency"], *(f"{number:,}" for number in numbers))
    return table


def _replicas(story: Story) -> Table:
    table = Table("replica", "store", "register", "rows", "equal to the files", "equal to the topics", title="Replicas")
    for each in story.replicas:
        for register in each.plan.registers:
            verdict, proof = story.verdicts[each.plan.name, register], story.proofs[each.plan.name][register]
            store = each.database.split(":", 1)[0]
            table.add_row(
                each.plan.name, store, register, f"{verdict.held:,}", _yes(verdict.equal), _yes(proof["equal"])
            )
    return table


def _form(answers: list[Answer]) -> Table:
    table = Table("field", "value", "from", "register", "as of", title="A form, filled from health's replica")
    for answer in answers:
        if answer.value is None:
            table.add_row(answer.label, "[dim]ask the citizen[/]", "", "", "")
        else:
            table.add_row(answer.label, answer.value, answer.source, answer.register, (answer.as_of or "")[11:19])
    return table


def _yes(is_equal: bool) -> str:
    return "[green]yes[/]" if is_equal else "[red]no[/]"
