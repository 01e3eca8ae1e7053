import base64

import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog import (
    Checkpoint,
    NoteSigner,
    parse_checkpoint,
    sign_checkpoint,
    sign_note,
    verify_checkpoint,
    verify_fork,
)
from tests.property.tlog_logs import LOG_SIGNER, ORIGIN, MemoryLog, signing_key

ROOT = base64.b64encode(bytes(32)).decode()


def test_signed_checkpoint_verifies() -> None:
    """What comes back is what was signed."""
    checkpoint = Checkpoint(origin=ORIGIN, size=7, root=bytes(range(32)))
    note = sign_checkpoint(checkpoint, LOG_SIGNER)
    assert verify_checkpoint(note, LOG_SIGNER.verifier) == checkpoint


def test_extension_lines_of_foreign_logs_are_kept() -> None:
    """They are opaque, and signed with the rest."""
    checkpoint = parse_checkpoint(f"{ORIGIN}\n7\n{ROOT}\nmore\n")
    assert checkpoint.extensions == ("more",)
    assert checkpoint.text == f"{ORIGIN}\n7\n{ROOT}\nmore\n"


MALFORMED = {
    "two-lines": f"{ORIGIN}\n7\n",
    "no-newline": f"{ORIGIN}\n7\n{ROOT}",
    "empty-origin": f"\n7\n{ROOT}\n",
    "empty-extension": f"{ORIGIN}\n7\n{ROOT}\n\nx\n",
    "leading-zero": f"{ORIGIN}\n07\n{ROOT}\n",
    "negative": f"{ORIGIN}\n-7\n{ROOT}\n",
    "plus": f"{ORIGIN}\n+7\n{ROOT}\n",
    "space": f"{ORIGIN}\n 7\n{ROOT}\n",
    "underscore": f"{ORIGIN}\n1_0\n{ROOT}\n",
    "other-digits": f"{ORIGIN}\n\u0667\n{ROOT}\n",
    "too-large": f"{ORIGIN}\n{2**63}\n{ROOT}\n",
    "huge": f"{ORIGIN}\n{'9' * 5000}\n{ROOT}\n",
    "short-root": f"{ORIGIN}\n7\n{base64.b64encode(bytes(31)).decode()}\n",
    "hex-root": f"{ORIGIN}\n7\n{bytes(32).hex()}\n",
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_malformed_checkpoint_is_refused(reason: str) -> None:
    """Each departure from the format has its refusal."""
    with pytest.raises(PeerError, match=r"tlog\.(checkpoint|note)\."):
        parse_checkpoint(MALFORMED[reason])


def test_log_signs_for_its_own_origin_only() -> None:
    """Key name and origin are one."""
    with pytest.raises(UsageError, match=r"tlog\.checkpoint\.origin"):
        sign_checkpoint(Checkpoint(origin="other", size=0, root=bytes(32)), LOG_SIGNER)
    forged = sign_note(f"other\n7\n{ROOT}\n", LOG_SIGNER)
    with pytest.raises(PeerError, match=r"tlog\.checkpoint\.origin"):
        verify_checkpoint(forged, LOG_SIGNER.verifier)


def test_two_roots_of_one_size_prove_a_fork() -> None:
    """The two signed notes alone convict the log."""
    honest, forked = MemoryLog(5), MemoryLog(5, first_entry=b"rewritten")
    first, second = verify_fork(honest.note(), forked.note(), LOG_SIGNER.verifier)
    assert (first.size, second.size) == (5, 5)
    assert first.root != second.root


def test_growth_and_repetition_are_no_fork() -> None:
    """Nobody is convicted for growing, repeating, or for what another key signed."""
    log = MemoryLog(5)
    for other in (log.note(), log.note(4)):
        with pytest.raises(PeerError, match=r"tlog\.fork\.unproved"):
            verify_fork(log.note(), other, LOG_SIGNER.verifier)
    impostor = NoteSigner(name=ORIGIN, key=signing_key("impostor"))
    with pytest.raises(PeerError, match=r"tlog\.note\.unsigned"):
        verify_fork(log.note(), MemoryLog(5).note(signer=impostor), LOG_SIGNER.verifier)
