"""Laws of the session: both ends agree or nothing passes; each record passes exactly once."""

from collections.abc import Callable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from mutualedge.errors import PeerError
from mutualedge.session import Direction, Initiator, Opener, RecordKind, Responder, Sealer
from mutualedge.session.replay import WINDOW_RECORDS, ReplayWindow


def code_of(step: Callable[[], object]) -> str:
    """Return the code a step is refused with, or nothing; another exception is a failure."""
    try:
        step()
    except PeerError as error:
        return error.code
    return ""


keys = st.binary(min_size=32, max_size=32)
payloads = st.binary(max_size=200)


@st.composite
def ends(draw: st.DrawFn) -> tuple[Initiator, Responder]:
    prologue = draw(payloads)
    initiator = Initiator(
        prologue=prologue, static_private=draw(keys), ephemeral_private=draw(keys)
    )
    responder = Responder(
        prologue=prologue, static_private=draw(keys), ephemeral_private=draw(keys)
    )
    return initiator, responder


@given(ends(), payloads, payloads, payloads)
def test_any_handshake_agrees(
    pair: tuple[Initiator, Responder], first: bytes, second: bytes, third: bytes
) -> None:
    """Whatever the keys and payloads, both ends end with the same hash, exports and secret."""
    initiator, responder = pair
    assert responder.read_message_1(initiator.write_message_1(first)) == first
    assert initiator.read_message_2(responder.write_message_2(second)) == second
    assert initiator.evidence_hash == responder.evidence_hash
    assert responder.read_message_3(initiator.write_message_3(third)) == third
    assert initiator.export(b"x") == responder.export(b"x")
    assert initiator.split().secret == responder.split().secret


def flipped(data: st.DataObject, message: bytes) -> bytes:
    bit = data.draw(st.integers(0, len(message) * 8 - 1), label="bit")
    changed = bytearray(message)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(ends(), payloads, st.integers(1, 3), st.data())
def test_any_flipped_bit_ends_the_handshake(
    pair: tuple[Initiator, Responder], payload: bytes, number: int, data: st.DataObject
) -> None:
    """One bit changed in any message, and the handshake is never finished at both ends."""
    initiator, responder = pair

    def sent(step: int, message: bytes) -> bytes:
        return flipped(data, message) if step == number else message

    def shake_hands() -> None:
        responder.read_message_1(sent(1, initiator.write_message_1(payload)))
        initiator.read_message_2(sent(2, responder.write_message_2(payload)))
        responder.read_message_3(sent(3, initiator.write_message_3(payload)))

    assert code_of(shake_hands).startswith("session.handshake.")


@given(st.lists(st.integers(0, 3 * WINDOW_RECORDS), max_size=200))
def test_window_agrees_with_a_plain_memory(numbers: list[int]) -> None:
    """The window refuses exactly what was seen or lies 1024 and more behind the newest."""
    window, seen = ReplayWindow(), set[int]()
    for number in numbers:
        newest = max(seen, default=-1)
        expected = number not in seen and newest - number < WINDOW_RECORDS
        assert (code_of(partial(window.verify_new, number)) == "") == expected
        if expected:
            window.mark(number)
            seen.add(number)
        window.validate()


def channel() -> tuple[Sealer, Opener]:
    key, session, direction = b"k" * 32, b"sessions", Direction.TO_RESPONDER
    source = Sealer(key=key, session=session, direction=direction)
    return source, Opener(key=key, session=session, direction=direction)


@given(st.permutations(range(24)), st.lists(st.integers(0, 23), max_size=24))
def test_any_delivery_passes_each_record_once(order: list[int], repeats: list[int]) -> None:
    """Reordered and repeated at will, each record's content comes out exactly once."""
    source, sink = channel()
    records = [source.seal(RecordKind.REQUEST, bytes([number])) for number in range(24)]
    assert [sink.open(records[number]).content[0] for number in order] == order
    refused = {code_of(partial(sink.open, records[number])) for number in repeats}
    assert refused <= {"session.record.replayed"}
    sink.validate()


@given(payloads, st.data())
def test_any_flipped_bit_of_a_record_is_refused(content: bytes, data: st.DataObject) -> None:
    """Header and ciphertext alike: one changed bit, and nothing comes out or is remembered."""
    source, sink = channel()
    record = source.seal(RecordKind.REQUEST, content)
    changed = flipped(data, record)
    assert code_of(lambda: sink.open(changed)).startswith("session.record.")
    assert sink.open(record).content == content


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_words(raw: bytes) -> None:
    """Garbage is refused with a code, never with another exception."""
    _, sink = channel()
    assert code_of(lambda: sink.open(raw)).startswith("session.record.")
