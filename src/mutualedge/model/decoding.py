"""What reading bytes of somebody else may raise, for every decoder alike."""

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Bytes of another type, text that is none, and brackets nested deeper than a reader recurses:
msgspec reads past unknown fields, and a member or device chooses how deep those are."""
