"""Remint keeps production models fresh, from git."""

from importlib.metadata import version

__version__ = version("remint")
