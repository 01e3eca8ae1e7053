"""Records: what is refused and why, bounds, and the key that steps forward."""

import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mutualedge.errors import PeerError, UsageError
from mutualedge.session import (
    CONTENT_BYTES_MAX,
    Direction,
    Opener,
    RecordKind,
    Sealer,
    content_digest,
    content_salt,
)
from mutualedge.session.records import HEADER_BYTES, REKEY_SHIFT, SEQ_MAX
from mutualedge.session.replay import WINDOW_RECORDS
from mutualedge.signing import digest_of

KEY, SESSION = b"k" * 32, b"sessions"
REKEY_RECORDS = 1 << REKEY_SHIFT


def sealer(
    session: bytes = SESSION, direction: Direction = Direction.TO_RESPONDER, *, next_seq: int = 0
) -> Sealer:
    """Return a sealer that has already sealed ``next_seq`` records."""
    made = Sealer(key=KEY, session=session, direction=direction)
    for _ in range(max(0, next_seq - 1) >> REKEY_SHIFT):
        made._generation = made._generation.next()
    made._next_seq = next_seq
    return made


def opener() -> Opener:
    return Opener(key=KEY, session=SESSION, direction=Direction.TO_RESPONDER)


def code_of(step: Callable[[], object]) -> str:
    with pytest.raises((PeerError, UsageError)) as caught:
        step()
    return caught.value.code


def test_content_survives_with_its_place() -> None:
    """Kind, number, content and whether more follows come out as they went in."""
    source, sink = sealer(), opener()
    first = sink.open(source.seal(RecordKind.REQUEST, b"part", is_last=False))
    second = sink.open(source.seal(RecordKind.REPLY, b""))
    assert (first.kind, first.seq, first.content, first.is_last) == (1, 0, b"part", False)
    assert (second.kind, second.seq, second.content, second.is_last) == (2, 1, b"", True)


def test_record_by_another_road() -> None:
    """Header, key and nonce are what the format says, computed here from the words alone."""
    source = sealer()
    records = [source.seal(RecordKind.REPLY, b"same", is_last=False) for _ in range(3)]
    cipher = AESGCM(hmac.digest(KEY, b"me-session/1 record key", "sha256"))
    start = int.from_bytes(hmac.digest(KEY, b"me-session/1 record nonce", "sha256")[:12], "big")
    for seq, record in enumerate(records):
        header = bytes([1, 0, 2, 0]) + SESSION + seq.to_bytes(8, "big")
        nonce = (start ^ seq).to_bytes(12, "big")
        assert record == header + cipher.encrypt(nonce, b"same", header)


def test_rekeyed_record_by_another_road() -> None:
    """Record 2^20 is sealed under the next key of a one-way chain, not under the first one."""
    record = sealer(next_seq=REKEY_RECORDS).seal(RecordKind.REPLY, b"same")
    chain = hmac.digest(KEY, b"me-session/1 rekey", "sha256")
    start = int.from_bytes(hmac.digest(chain, b"me-session/1 record nonce", "sha256")[:12], "big")
    nonce = (start ^ REKEY_RECORDS).to_bytes(12, "big")
    cipher = AESGCM(hmac.digest(chain, b"me-session/1 record key", "sha256"))
    assert cipher.decrypt(nonce, record[HEADER_BYTES:], record[:HEADER_BYTES]) == b"same"


def test_no_keystream_repeats() -> None:
    """Equal content never looks equal, within a step of the key or across one."""
    source = sealer(next_seq=REKEY_RECORDS - 2)
    bodies = {source.seal(RecordKind.REQUEST, bytes(32))[HEADER_BYTES:][:32] for _ in range(4)}
    assert len(bodies) == 4


def test_replay_is_refused() -> None:
    """The same record passes once, however often the broker delivers it."""
    sink, record = opener(), sealer().seal(RecordKind.REQUEST, b"pay")
    sink.open(record)
    assert code_of(lambda: sink.open(record)) == "session.record.replayed"


def test_window_width() -> None:
    """A record may come 1023 behind the newest, and no later."""
    source, sink = sealer(), opener()
    records = [source.seal(RecordKind.REQUEST, b"") for _ in range(WINDOW_RECORDS + 1)]
    sink.open(records[WINDOW_RECORDS])
    assert sink.open(records[1]).seq == 1
    assert code_of(lambda: sink.open(records[0])) == "session.record.too-old"
    sink.validate()


def test_foreign_records() -> None:
    """Records of another session or of our own direction are named as such."""
    for source in (sealer(b"sessionz"), sealer(direction=Direction.TO_INITIATOR)):
        record = source.seal(RecordKind.REQUEST, b"")
        assert code_of(lambda: opener().open(record)) == "session.record.foreign"  # noqa: B023


def test_reflection_with_a_repainted_header() -> None:
    """Both directions of one key pair differ in key, so a reflected record is forged."""
    record = bytearray(
        Sealer(key=b"o" * 32, session=SESSION, direction=Direction.TO_INITIATOR).seal(
            RecordKind.REPLY, b""
        )
    )
    record[1] = Direction.TO_RESPONDER
    assert code_of(lambda: opener().open(bytes(record))) == "session.record.forged"


@pytest.mark.parametrize(("offset", "value"), [(0, 2), (2, 0), (2, 9), (3, 2), (12, 0xFF)])
def test_malformed_headers(offset: int, value: int) -> None:
    """Unknown version, kind, flag or a number beyond the limit is refused before decryption."""
    record = bytearray(sealer().seal(RecordKind.REQUEST, b"x"))
    record[offset] = value
    assert code_of(lambda: opener().open(bytes(record))) == "session.record.malformed"


def test_sizes() -> None:
    """256 KiB pass, one byte more is refused at either end, and so is less than a header."""
    largest = sealer().seal(RecordKind.REQUEST, bytes(CONTENT_BYTES_MAX))
    assert len(opener().open(largest).content) == CONTENT_BYTES_MAX
    assert code_of(lambda: opener().open(largest + b"\x00")) == "session.record.oversize"
    assert (
        code_of(lambda: opener().open(largest[: HEADER_BYTES + 15])) == "session.record.malformed"
    )
    too_much = bytes(CONTENT_BYTES_MAX + 1)
    assert code_of(lambda: sealer().seal(RecordKind.REQUEST, too_much)) == "session.record.oversize"


def test_rekey_in_and_out_of_order() -> None:
    """The key steps after 2^20 records, and late records of the step before still open."""
    source, sink = sealer(next_seq=REKEY_RECORDS - 2), opener()
    before = source._generation
    records = [source.seal(RecordKind.REQUEST, bytes([i])) for i in range(4)]
    assert source._generation is not before
    assert [sink.open(records[i]).content[0] for i in (0, 2, 1, 3)] == [0, 2, 1, 3]
    sink.validate()


def test_second_rekey() -> None:
    """Steps follow one another; a session that lost more than a whole step must be reopened."""
    sink = opener()
    ahead = sealer(next_seq=2 * REKEY_RECORDS + 1).seal(RecordKind.REQUEST, b"")
    assert code_of(lambda: sink.open(ahead)) == "session.record.too-new"
    sink.open(sealer(next_seq=REKEY_RECORDS + 1).seal(RecordKind.REQUEST, b""))
    assert sink.open(ahead).seq == 2 * REKEY_RECORDS + 1
    sink.validate()


def test_forgery_moves_nothing() -> None:
    """A forged record far ahead neither steps the key nor moves the window."""
    source, sink = sealer(), opener()
    forged = bytearray(sealer(next_seq=REKEY_RECORDS + 9).seal(RecordKind.REQUEST, b"x"))
    forged[-1] ^= 1
    assert code_of(lambda: sink.open(bytes(forged))) == "session.record.forged"
    assert sink.open(source.seal(RecordKind.REQUEST, b"y")).seq == 0
    sink.validate()


def test_used_up_session() -> None:
    """A session ends rather than repeat a number."""
    source = sealer()
    source._next_seq = SEQ_MAX + 1
    assert code_of(lambda: source.seal(RecordKind.REQUEST, b"")) == "session.record.exhausted"


def test_content_digests_are_mute() -> None:
    """A digest depends on secret, number, part and content; a salt opens one digest only."""
    seen = [
        content_digest(secret, seq, part, content)
        for secret in (b"s" * 32, b"t" * 32)
        for seq in (1, 2)
        for part in ("request", "response")
        for content in (b"", b"on")
    ]
    assert len(set(seen)) == len(seen)
    salt = content_salt(b"s" * 32, 1, "request")
    assert content_digest(b"s" * 32, 1, "request", b"on") == digest_of(salt + b"on")
    assert salt not in {
        content_salt(b"s" * 32, 2, "request"),
        content_salt(b"s" * 32, 1, "response"),
    }
