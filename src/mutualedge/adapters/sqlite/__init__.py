"""Durable rows in SQLite."""

from mutualedge.adapters.sqlite.store import SqliteStore, store_problem

__all__ = ["SqliteStore", "store_problem"]
