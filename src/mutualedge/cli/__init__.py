"""The command line: one file per group of commands; everything heavy is imported when it runs."""

from mutualedge.cli.main import main

__all__ = ["main"]
