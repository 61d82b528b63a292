"""The tree that is drawn in ``bus.errors`` is the tree that is there."""

import inspect
import re

from bus import errors


def drawn() -> dict[str, str]:
    """Each class of the drawing with the one that it hangs from."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for indent, name in re.findall(r"^([ │├└─]+)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        above[depth] = name
        parents[name] = above.get(depth - 1, "Exception")
    return parents


def test_every_error_is_drawn_below_its_parent():
    classes = (each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.BusError))
    assert drawn() == {each.__name__: each.__bases__[0].__name__ for each in classes}
