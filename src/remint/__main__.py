"""``python -m remint``: the command line of the interpreter that runs us, whatever is first on the PATH."""

from remint.cli import entry

entry()
