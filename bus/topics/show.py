"""A plan as people and scripts read it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bus.topics.facts import partitions
from bus.topics.plan import Plan


def lines(plan: Plan) -> Iterator[str]:
    """The plan as a diff: ``+`` is made, ``~`` is altered, ``!`` differs and cannot be altered."""
    for topic in plan.create:
        copies = "1 copy" if topic.replication == 1 else f"{topic.replication} copies"
        yield f"+ {topic.name}: {partitions(topic.partitions)}, {copies}"
        yield from (f"    {key} = {value}" for key, value in topic.config.items())
    for name in dict.fromkeys(each.topic for each in plan.alter):
        yield f"~ {name}"
        yield from (
            f"    {each.key}: {each.found or '(not set)'} -> {each.wanted}" for each in plan.alter if each.topic == name
        )
    for each in plan.stuck:
        yield f"! {each.topic} {each.remedy}"
    yield summary(plan)


def summary(plan: Plan) -> str:
    altered = len({each.topic for each in plan.alter})
    if not plan.pending and not plan.stuck:
        return f"No changes: {plan.unchanged} topics are as the catalogue wants them."
    stuck = f", {len(plan.stuck)} that cannot be altered" if plan.stuck else ""
    return f"Plan: {len(plan.create)} to create, {altered} to alter{stuck}; {plan.unchanged} unchanged."


def as_json(plan: Plan) -> dict[str, Any]:
    return {
        "create": [asdict(topic) for topic in plan.create],
        "alter": [asdict(each) for each in plan.alter],
        "cannot_alter": [{**asdict(each), "remedy": each.remedy} for each in plan.stuck],
        "unchanged": plan.unchanged,
    }
