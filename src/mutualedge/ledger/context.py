"""The little that a contract may touch, so that two engines can host the very same contract."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol, TypeVar

import msgspec

from mutualedge.errors import CorruptState
from mutualedge.ledger.events import Event
from mutualedge.model import UNREADABLE, Digest, EnterpriseId
from mutualedge.signing import canonical_bytes

T = TypeVar("T")

DECODED_MAX = 4096
"""Rows remembered decoded: each call of a lease reads its row, which changes a few times a day;
structs are frozen and rows small, so this stays below 4 MB."""

_decoders: dict[object, msgspec.json.Decoder[object]] = {}


class Context(Protocol):
    """State, caller and time of one command; the engine undoes all writes of a refused one.

    Attributes:
        caller: Enterprise whose settlement key signed the command.
        now_ns: Time of the block, since 1970, whole milliseconds; never goes backwards.
        height: Number of the block, from 1.
    """

    caller: EnterpriseId
    now_ns: int
    height: int

    def get(self, key: str) -> bytes | None:
        """Return the value written last, this command's own writes included."""
        ...

    def put(self, key: str, value: bytes) -> None:
        """Write one row; keys are ASCII, ``table/…``."""
        ...

    def delete(self, key: str) -> None:
        """Remove one row."""
        ...

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield the rows below ``table/…`` in key order; writing meanwhile is allowed."""
        ...

    def executed(self, height: int) -> Digest | None:
        """Return the digest of a block before this one, None if that is long ago or never was."""
        ...

    def emit(self, event: Event) -> None:
        """Report something; dropped with the writes if the command is refused."""
        ...


def decode_row(key: str, raw: bytes, kind: type[T]) -> T:
    """Return the struct that a row holds.

    Raises:
        CorruptState: The row does not hold one.
    """
    try:
        return _decoded(raw, kind)  # type: ignore[arg-type,no-any-return]  # classes are hashable
    except UNREADABLE as error:
        sentence = f"Ledger row '{key}' is no {kind.__name__}; restore the ledger from its blocks."
        raise CorruptState("ledger.row.corrupt", sentence) from error


@lru_cache(maxsize=DECODED_MAX)
def _decoded(raw: bytes, kind: type[T]) -> T:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return decoder.decode(raw)  # type: ignore[return-value]  # the decoder of `kind`


def read_row(context: Context, key: str, kind: type[T]) -> T | None:
    """Return the struct under a key, or None if there is none.

    Raises:
        CorruptState: The row holds something else.
    """
    raw = context.get(key)
    return None if raw is None else decode_row(key, raw, kind)


def write_row(context: Context, key: str, value: msgspec.Struct) -> None:
    """Put the canonical bytes of a struct, so that every replica writes the same ones."""
    context.put(key, canonical_bytes(value))
