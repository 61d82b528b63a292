"""``python -m bus``: the command ``lienthong`` where no script is on the path."""

from bus.cli import main

main()
