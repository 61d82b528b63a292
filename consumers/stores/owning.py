"""Owning partitions: who may move a position, and which batches have been done already. Pure."""

from collections.abc import Mapping, Sequence

from bus.errors import ClusterMismatch, Fenced
from bus.names import RegisterName
from consumers.stores.model import Advance, Partition, Position


def is_repeated(register: RegisterName, advances: Sequence[Advance], held: Mapping[Partition, Position]) -> bool:
    """Whether a batch's moves have all been made before, by this very owner: its commit came through unanswered.

    False when all of them may be made now. Raises Fenced when a partition is another's, or does not stand where the
    owner believes. An epoch has one owner, so nobody else can have left its partitions exactly there.
    """
    for move in advances:
        position = held.get(move.at)
        if position is None or position.epoch != move.epoch:
            raise Fenced(
                f"{register}: {move.at.topic} partition {move.at.partition} has been claimed by another daemon"
            )
    moved = [move for move in advances if move.next_offset != move.expected]
    if moved and all(held[move.at].next_offset == move.next_offset for move in advances):
        return True
    for move in advances:
        if held[move.at].next_offset != move.expected:
            raise Fenced(
                f"{register}: {move.at.topic} partition {move.at.partition} stands at {held[move.at].next_offset}, "
                f"not at {move.expected} as its owner believes",
            )
    return False


def check_topics(register: RegisterName, wanted: Mapping[Partition, str], held: Mapping[Partition, Position]) -> None:
    """Raises ClusterMismatch when a position was made with another topic of the same name."""
    for at, topic_id in wanted.items():
        if at in held and held[at].topic_id != topic_id:
            raise ClusterMismatch(
                f"{register}: topic {at.topic} has been deleted and made again since this replica read it (its id "
                "differs); rebuild this replica",
            )


def no_fill(register: RegisterName) -> Fenced:
    return Fenced(f"{register}: no fill is under way; another daemon has finished it or begun it anew")
