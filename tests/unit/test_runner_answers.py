import asyncio

from mutualedge.app.runner_link import _Answers
from mutualedge.protocol import (
    LENGTH_BYTES,
    BundleLoaded,
    Event,
    ExecutedLocal,
    RunnerAnswered,
    encode_frame,
)

ANSWERS = (
    BundleLoaded(function="ab" * 32, fuel_per_ms=7),  # type: ignore[arg-type]  # any digest
    ExecutedLocal(job=1, status="ok", response=b"x" * 300),
    ExecutedLocal(job=2, status="ok", response=b""),
)
SAID = b"".join(encode_frame(answer) for answer in ANSWERS)


async def _hear(*parts: bytes) -> tuple[list[Event], str | None]:
    """Return what was posted for these reads, and why the conversation ended, if it did."""
    posted: list[Event] = []
    answers = _Answers(posted.append)
    for part in parts:
        answers.data_received(part)
    return posted, answers.ended.result() if answers.ended.done() else None


def test_answers_are_whole_however_the_bytes_come() -> None:
    """Reads that end anywhere, even inside a length, give the same answers in the same order."""
    expected = [RunnerAnswered(answer=answer) for answer in ANSWERS]
    for cut in range(1, len(SAID)):
        assert asyncio.run(_hear(SAID[:cut], SAID[cut:])) == (expected, None)
    single_bytes = [SAID[at : at + 1] for at in range(len(SAID))]
    assert asyncio.run(_hear(*single_bytes)) == (expected, None)


def test_nonsense_ends_the_conversation() -> None:
    """What follows a frame that nobody understands is not listened to."""
    nonsense = (1).to_bytes(LENGTH_BYTES, "big") + b"\xc1"
    posted, why = asyncio.run(_hear(nonsense + SAID))
    assert posted == []
    assert why is not None
    assert "protocol.frame.malformed" in why


def test_an_endless_frame_ends_the_conversation() -> None:
    """A length beyond the largest frame is refused before its body is waited for."""
    posted, why = asyncio.run(_hear(b"\xff" * LENGTH_BYTES))
    assert posted == []
    assert why is not None
    assert "protocol.frame.oversize" in why
