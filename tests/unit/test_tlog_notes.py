import base64

import pytest

from mutualedge.errors import PeerError, UsageError
from mutualedge.tlog import (
    NoteSigner,
    NoteVerifier,
    parse_note,
    parse_vkey,
    sign_note,
    verify_note,
    with_signatures,
)
from tests.property.tlog_logs import LOG_SIGNER, signing_key, witness_signer

TEXT = "first line\n\nthird line\n"
OTHER = NoteSigner(name="other.example", key=signing_key("other"))


def test_signed_note_verifies_and_keeps_blank_lines() -> None:
    """The last blank line separates text and signatures; earlier ones belong to the text."""
    note = sign_note(TEXT, LOG_SIGNER)
    assert note.startswith(TEXT + "\n\u2014 acme.example/log ")
    assert verify_note(parse_note(note), LOG_SIGNER.verifier) == TEXT
    assert parse_note(note).signed_text == note


def test_altered_text_is_refused() -> None:
    """One changed letter spoils the signature."""
    note = sign_note(TEXT, LOG_SIGNER).replace("third", "Third")
    with pytest.raises(PeerError, match=r"tlog\.note\.signature"):
        verify_note(parse_note(note), LOG_SIGNER.verifier)


def test_unknown_signatures_are_ignored_but_one_known_is_needed() -> None:
    """Foreign lines neither help nor hurt."""
    note = with_signatures(
        sign_note(TEXT, LOG_SIGNER), [parse_note(sign_note(TEXT, OTHER)).signatures[0].line]
    )
    assert verify_note(parse_note(note), LOG_SIGNER.verifier) == TEXT
    assert verify_note(parse_note(note), OTHER.verifier) == TEXT
    with pytest.raises(PeerError, match=r"tlog\.note\.unsigned"):
        verify_note(parse_note(sign_note(TEXT, OTHER)), LOG_SIGNER.verifier)


def test_same_name_with_another_key_is_unknown() -> None:
    """A line counts only if name and key hash both match."""
    impostor = NoteSigner(name=LOG_SIGNER.name, key=signing_key("impostor"))
    with pytest.raises(PeerError, match=r"tlog\.note\.unsigned"):
        verify_note(parse_note(sign_note(TEXT, impostor)), LOG_SIGNER.verifier)


def test_same_key_hash_under_another_name_is_unknown() -> None:
    """A foreign line whose four bytes collide with a known key's is ignored, not refused."""
    note = sign_note(TEXT, LOG_SIGNER)
    colliding = base64.b64encode(LOG_SIGNER.verifier.key_hash + bytes(64)).decode()
    parsed = parse_note(f"{note}\u2014 other.example {colliding}\n")
    assert verify_note(parsed, LOG_SIGNER.verifier) == TEXT


def test_bad_line_of_a_known_key_spoils_the_note() -> None:
    """Beside a good signature, a bad one that claims the same key is refused."""
    note = sign_note(TEXT, LOG_SIGNER)
    bad = base64.b64encode(LOG_SIGNER.verifier.key_hash + bytes(64)).decode()
    with pytest.raises(PeerError, match=r"tlog\.note\.signature"):
        verify_note(parse_note(f"{note}\u2014 acme.example/log {bad}\n"), LOG_SIGNER.verifier)


GOOD = sign_note("text\n", LOG_SIGNER)
LINE = GOOD.split("\n\n")[1]
MATERIAL = LINE.split(" ")[2].strip()

MALFORMED = {
    "empty": "",
    "no-signatures": "text\n\n",
    "no-blank-line": f"text\n{LINE}",
    "no-final-newline": GOOD[:-1],
    "carriage-return": GOOD.replace("text\n", "text\r\n"),
    "tab": GOOD.replace("text", "te\txt"),
    "nul": GOOD.replace("text", "te\0xt"),
    "lone-surrogate": GOOD.replace("text", "te\ud800xt"),
    "hyphen-for-dash": GOOD.replace("\u2014", "-"),
    "no-name": f"text\n\n\u2014  {MATERIAL}\n",
    "name-with-plus": f"text\n\n\u2014 a+b {MATERIAL}\n",
    "name-with-space": f"text\n\n\u2014 a b {MATERIAL}\n",
    "name-with-wide-space": f"text\n\n\u2014 a\u3000b {MATERIAL}\n",
    "name-too-long": f"text\n\n\u2014 {'a' * 256} {MATERIAL}\n",
    "no-material": "text\n\n\u2014 a \n",
    "short-material": "text\n\n\u2014 a AAAAAA==\n",
    "blank-between-signatures": f"{GOOD}\n{LINE}x\n",
    "too-many-signatures": GOOD + LINE * 100,
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_malformed_note_is_refused(reason: str) -> None:
    """Each departure from the format has its refusal."""
    with pytest.raises(PeerError, match=r"tlog\.note\.(malformed|base64)"):
        parse_note(MALFORMED[reason])


@pytest.mark.parametrize(
    "material",
    [MATERIAL[:-1], MATERIAL + "=", MATERIAL.replace("=", "!"), "AAAAAAB=", "AAAA\u00e9AAA"],
    ids=["no-padding", "more-padding", "alphabet", "stray-bits", "not-ascii"],
)
def test_base64_has_one_spelling(material: str) -> None:
    """Two spellings of one signature would make two notes of one."""
    with pytest.raises(PeerError, match=r"tlog\.note\.base64"):
        parse_note(f"text\n\n\u2014 a {material}\n")


def test_oversized_note_is_refused() -> None:
    """Above 512 KiB nothing is parsed."""
    with pytest.raises(PeerError, match=r"tlog\.note\.size"):
        parse_note("x" * (1 << 19) + GOOD)


@pytest.mark.parametrize("text", ["", "no newline", "carriage\r\n"])
def test_unsignable_text_is_refused(text: str) -> None:
    """We never sign what nobody could parse."""
    with pytest.raises(UsageError, match=r"tlog\.note\.text"):
        sign_note(text, LOG_SIGNER)


def test_newer_signature_replaces_the_older_of_its_key() -> None:
    """Merging the same line twice keeps one; others stay."""
    note = sign_note(TEXT, LOG_SIGNER)
    line = parse_note(sign_note(TEXT, OTHER)).signatures[0].line
    merged = with_signatures(note, [line, line])
    assert with_signatures(merged, [line]) == merged == note + line


def test_vkey_round_trip() -> None:
    """Log and witness keys survive as one line; the algorithm byte tells them apart."""
    for signer in (LOG_SIGNER, witness_signer(1)):
        assert parse_vkey(signer.verifier.vkey) == signer.verifier
    twin = NoteVerifier(
        name=LOG_SIGNER.name,
        public_bytes=LOG_SIGNER.key.public_bytes,
        algorithm=witness_signer(1).algorithm,
    )
    assert twin.key_hash != LOG_SIGNER.verifier.key_hash


NAME, HASH, KEY = LOG_SIGNER.verifier.vkey.split("+", 2)


@pytest.mark.parametrize(
    ("vkey", "code"),
    [
        (NAME, "malformed"),
        (f"{NAME}+{HASH}", "malformed"),
        (f"{NAME}+{HASH}+!{KEY}", "malformed"),
        (f"{NAME}+{HASH}+", "malformed"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([2]) + bytes(32)).decode()}", "malformed"),
        (f"{NAME}+00000000+{KEY}", "hash"),
        (f"x{NAME}+{HASH}+{KEY}", "hash"),
        (f"a b+{HASH}+{KEY}", "name"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([1]) + bytes(31)).decode()}", "key"),
    ],
)
def test_mistyped_vkey_is_refused(vkey: str, code: str) -> None:
    """The hash catches a wrong name or key, the rest is form."""
    with pytest.raises(UsageError, match=rf"tlog\.vkey\.{code}"):
        parse_vkey(vkey)
