"""The command line: parse, call, print, exit code. One module a command group; nothing here decides."""

from remint.cli.main import entry, main

__all__ = ["entry", "main"]
