"""Durable rows in SQLite."""

from mutualedge.adapters.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
