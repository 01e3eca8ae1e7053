"""Documents inside a command: refused with their own code, in the same words on every replica."""

from collections.abc import Iterator
from contextlib import contextmanager

from mutualedge.errors import PeerError, RefusedByPolicy, UsageError


@contextmanager
def refusing(document: str) -> Iterator[None]:
    """Turn a fault of a submitted document into a refusal of the command that carries it.

    The sentence is ours, because a parser's words change with its version and replicas compare.

    Args:
        document: What is being read, for the sentence.

    Raises:
        RefusedByPolicy: Reading or verifying it failed; the code is that of the fault.
    """
    try:
        yield
    except (PeerError, UsageError) as error:
        sentence = (
            f"The {document} in this command is not acceptable ({error.code}); "
            "get a valid one from its signers."
        )
        raise RefusedByPolicy(error.code, sentence) from error
