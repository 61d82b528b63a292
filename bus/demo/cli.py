"""``lienthong demo``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bus.cli import console
from bus.errors import ConfigInvalid

if TYPE_CHECKING:
    from bus.demo.flow import Demo

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where exports, states, replicas and servers lie.")] = Path(
        ".lienthong/demo"
    ),
    people: Annotated[int, typer.Option(min=500, help="Synthetic people; firms and dossiers go with them.")] = 4000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same city.")] = 2025,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave servers and replicas running, and say how to go on.")
    ] = False,
) -> None:
    """Play one city's day on a real Kafka: publish, replicate, move house, fill a form, prove equality.

    Code 0 only if both replicas are equal, row by row, to what was published. Everybody in it is synthetic.
    """
    from bus.demo.summary import print_summary  # noqa: PLC0415 - after the extras were found

    play = _demo(directory, people, seed)
    with play.stack(keep=keep) as status:
        story = play.run(status, keep=keep)
        print_summary(story)
    if keep:
        _say_how_to_go_on(play)
    if not story.equal:
        raise typer.Exit(1)


def _demo(directory: Path, people: int, seed: int) -> "Demo":
    try:
        from bus.demo.exports import Sizes  # noqa: PLC0415 - the extras may be missing
        from bus.demo.flow import Demo  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigInvalid("the demo needs more packages: pip install 'lienthong[local,postgres]'") from error
    sizes = Sizes(people=people, businesses=max(people // 7, 60), dossiers=max(people // 5, 100))
    return Demo(directory, sizes=sizes, seed=seed)


def _say_how_to_go_on(play: "Demo") -> None:
    health = play.story.replicas[0]
    console.rule("[bold]Still running", align="left")
    for line in (
        f"lienthong lookup resident {play.someone} --config {health.config}",
        f"lienthong replica status --config {health.config}",
        f"lienthong tail resident.residence --kafka {play.bootstrap_servers}",
        f"curl {health.daemon.url}/readyz",
        f"lienthong local down --dir {play.directory / 'stack'}   # and the replicas: kill "
        + " ".join(str(each.daemon.process.pid) for each in play.story.replicas),
    ):
        console.print(f"  {line}", highlight=False)
