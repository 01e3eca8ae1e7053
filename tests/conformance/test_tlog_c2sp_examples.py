"""Examples printed in the C2SP specifications and in Go's note package."""

import pytest

from mutualedge.errors import PeerError
from mutualedge.tlog import (
    parse_add_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    verify_note,
)

PETER_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""  # noqa: E501  # one line in the original, and signed
SUMDB_VKEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

SALVATORE = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed \u00e8 subito sera.

\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""  # noqa: E501  # as printed

SOFA = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501  # as printed

REQUEST_HEAD = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

"""


def test_go_note_example_verifies() -> None:
    """The key and note in the documentation of golang.org/x/mod/sumdb/note."""
    verifier = parse_vkey(PETER_VKEY)
    assert verifier.vkey == PETER_VKEY
    assert verify_note(parse_note(PETER_NOTE), verifier).endswith("your problem is.\n")
    with pytest.raises(PeerError, match=r"tlog\.note\.signature"):
        verify_note(parse_note(PETER_NOTE.replace("problem", "Problem")), verifier)


def test_checksum_database_key_parses() -> None:
    """The key every Go toolchain carries has the hash its text claims."""
    verifier = parse_vkey(SUMDB_VKEY)
    assert (verifier.name, verifier.key_hash.hex()) == ("sum.golang.org", "033de0ae")


def test_signed_note_example_parses() -> None:
    """A text with a blank line of its own and a letter outside ASCII."""
    note = parse_note(SALVATORE)
    assert note.text.count("\n") == 4
    assert [each.name for each in note.signatures] == ["quasimodo.example/salvatore"]
    assert note.signed_text == SALVATORE


def test_cosignature_example_carries_its_time() -> None:
    """The witness line of the specification: key hash, eight bytes of time, 64 of signature."""
    note = parse_note(SOFA)
    assert parse_checkpoint(note.text).size == 20_852_163
    signature = note.signatures[1]
    assert (signature.key_hash.hex(), len(signature.signature)) == ("8d66cf3f", 72)
    assert int.from_bytes(signature.signature[:8], "big") == 1_679_315_147


def test_add_checkpoint_example_parses() -> None:
    """The request body of the witness specification."""
    request = parse_add_checkpoint(REQUEST_HEAD + SOFA)
    assert (request.old_size, len(request.proof), request.note) == (20_852_014, 4, SOFA)
