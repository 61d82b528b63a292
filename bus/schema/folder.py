from importlib.resources import files
from importlib.resources.abc import Traversable


def schemas_folder() -> Traversable:
    """The schemas and code lists that ship with the package."""
    return files("bus") / "schemas"
