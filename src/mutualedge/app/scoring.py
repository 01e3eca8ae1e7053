"""Readings from a terminal to a node, and in words what became of them."""

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from mutualedge.adapters.linux import is_locked
from mutualedge.app.devices import DeviceClient, ReadingScored, connect_device
from mutualedge.app.files import STORE_FILE, NodeFile, read_process_file
from mutualedge.app.local_processes import Processes
from mutualedge.app.plain_text import printable
from mutualedge.app.terminal import tell
from mutualedge.app.words import REASONS
from mutualedge.errors import MutualEdgeError, UsageError
from mutualedge.functions import anomaly
from mutualedge.model import NS_PER_MS, DeviceId, DeviceName
from mutualedge.protocol import READINGS_MAX

EXIT_ALL, EXIT_SOME = 0, 1

STANDARD_INPUT = "-"
TEXT_BYTES_MAX = 1 << 16
"""More than 120 numbers with all their digits."""

WORD_SHOWN_MAX = 40
"""Of what is no number; the beginning shows what it is."""

AT_ONCE_MAX = 64
"""Devices of one command; a node has room for a few of them within a usual deadline."""

FLAG_WORDS = {
    anomaly.Flag.DEVIATION: "far from the mean",
    anomaly.Flag.LIMIT: "beyond a limit",
    anomaly.Flag.STUCK: "stuck",
    anomaly.Flag.INVALID: "no number",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one device's readings.

    Attributes:
        took_ns: From the question to the answer, at the device.
        scored: Who computed them and what they are; nothing if they were refused.
        code: Of a refusal, and its sentence; empty if they were scored.
    """

    device: str
    took_ns: int
    scored: ReadingScored | None = None
    code: str = ""
    sentence: str = ""


def print_scores(
    own: Path,
    texts: Sequence[str],
    file: str | None,
    *,
    device: str,
    at_once: int,
    deadline_ms: int,
    as_json: bool,
) -> int:
    """Send readings to a node, print the answers; return 0 if all were scored, 1 if not.

    Args:
        own: The node's folder.
        texts: The readings, as typed.
        file: Where more of them stand; ``-`` is the standard input.
        device: Whose they are.
        at_once: As how many devices; if more than one, they are called ``device-1`` and so on.
        deadline_ms: How long the answers are of use.
        as_json: Print one JSON list.

    Raises:
        UsageError: This is no node's folder, the node does not run, or an argument is unusable.
        Unreachable: The node's server does not answer.
    """
    readings = (
        parse_numbers(" ".join(texts)) if file is None else parse_numbers(_text_of(file), file)
    )
    devices = device_names(device, at_once)
    if deadline_ms <= 0:
        sentence = f"{deadline_ms} ms is no time to answer in; name at least 1."
        raise UsageError("score.deadline.absent", sentence)
    answers = asyncio.run(ask_node(own, devices, readings, deadline_ms))
    told = msgspec.json.encode(answers).decode() if as_json else answers_text(answers, readings)
    tell(told, is_data=as_json)
    return EXIT_ALL if all(each.scored is not None for each in answers) else EXIT_SOME


def parse_numbers(text: str, file: str = "") -> tuple[float, ...]:
    """Return the numbers of a text; spaces or line ends part them, with commas before or not.

    Args:
        text: What was typed, or what stands in a file.
        file: Its name, for sentences; empty if it was typed.

    Raises:
        UsageError: One is none, or there are none or too many.
    """
    words = [
        (word.rstrip(","), number)
        for number, line in enumerate(text.splitlines(), start=1)
        for word in line.split()
        if word != ","
    ]
    numbers = tuple(
        _number(word, f"{file}, line {line}" if file else f"Reading {place}", is_typed=not file)
        for place, (word, line) in enumerate(words[: READINGS_MAX + 1], start=1)
    )
    if not 0 < len(words) <= READINGS_MAX:
        sentence = f"These are {len(words)} readings; send 1 to {READINGS_MAX} at a time."
        raise UsageError("score.readings.count", sentence)
    return numbers


def _number(word: str, where: str, *, is_typed: bool) -> float:
    try:
        return float(word)
    except ValueError as error:
        told = printable(word[:WORD_SHOWN_MAX])
        advice = "write 21.5, -3 or 1e-4"
        if "," in word:
            advice += ", and a space between two numbers"
        if not is_typed:
            advice += "; a CSV file with times is for 'mutualedge demo --input'"
        sentence = f"{where}: '{told}' is no number; {advice}."
        raise UsageError("score.readings.malformed", sentence) from error


def _text_of(file: str) -> str:
    try:
        if file == STANDARD_INPUT:
            return sys.stdin.buffer.read(TEXT_BYTES_MAX).decode("utf-8", errors="replace")
        with Path(file).open("rb") as source:
            return source.read(TEXT_BYTES_MAX).decode("utf-8", errors="replace")
    except OSError as error:
        sentence = f"{file} cannot be read ({error.strerror}); name a file with numbers."
        raise UsageError("score.file.unreadable", sentence) from error


def device_names(device: str, at_once: int) -> list[DeviceId]:
    """Return the names of as many devices as report at once.

    Raises:
        UsageError: No device can be called so, or there are none or too many.
    """
    if not 0 < at_once <= AT_ONCE_MAX:
        sentence = f"{at_once} devices cannot report at once here; name 1 to {AT_ONCE_MAX}."
        raise UsageError("score.devices.count", sentence)
    names = [device] if at_once == 1 else [f"{device}-{n}" for n in range(1, at_once + 1)]
    try:
        return msgspec.convert(names, list[DeviceName])
    except msgspec.ValidationError as error:
        told = printable(device)
        sentence = f"'{told}' is no device: start with a-z, then a-z, 0-9 and '-', 32 at most."
        raise UsageError("score.device.malformed", sentence) from error


async def ask_node(
    own: Path, devices: Iterable[DeviceId], readings: Sequence[float], deadline_ms: int
) -> list[Answer]:
    """Return the node's answers, one for each device; all ask in the same moment.

    Raises:
        UsageError: This is no node's folder, or the node does not run.
        Unreachable: Its server does not answer.
    """
    told = read_process_file(own, NodeFile)
    if not is_locked(own / f"{STORE_FILE}.lock"):
        sentence = f"The node of {own} does not run; start it: mutualedge up {own.parent}"
        raise UsageError("score.node.stopped", sentence)
    url = Processes.ready(own).client_url
    async with await connect_device(url, told.device_password) as client:
        asking = (_ask(client, device, readings, deadline_ms / 1000) for device in devices)
        return await asyncio.gather(*asking)


async def _ask(
    client: DeviceClient, device: DeviceId, readings: Sequence[float], deadline_s: float
) -> Answer:
    began_ns = time.perf_counter_ns()
    try:
        scored = await client.score(device, readings, deadline_s=deadline_s)
    except MutualEdgeError as error:
        took_ns = time.perf_counter_ns() - began_ns
        return Answer(device=device, took_ns=took_ns, code=error.code, sentence=error.sentence)
    took_ns = time.perf_counter_ns() - began_ns
    return Answer(device=device, took_ns=took_ns, scored=scored)


def answers_text(answers: Iterable[Answer], readings: Sequence[float]) -> str:
    """Return who scored what in which time, a sentence a line."""
    return "\n".join(line for each in answers for line in _answer_lines(each, readings))


def _answer_lines(answer: Answer, readings: Sequence[float]) -> Iterator[str]:
    scored, took = answer.scored, f"{answer.took_ns / NS_PER_MS:.1f} ms"
    if scored is None:
        why = REASONS.get(answer.code, answer.sentence.rstrip("."))
        told = f"{answer.device}: not scored after {took}: {why} [{answer.code}]"
        yield printable(told)
        return
    yield printable(
        f"{answer.device}: scored by {scored.placed} in {took}; "
        f"assurance: {scored.assurance}; timing: {scored.timing}"
    )
    yield f"  scores: {' '.join(f'{score:.1f}' for score in scored.scores)}"
    for index, (reading, flags) in enumerate(zip(readings, scored.flags, strict=True), start=1):
        if flags:
            yield f"  look at: reading {index}, {reading:g}: {flag_words(flags)}"


def flag_words(flags: int) -> str:
    """Return why a reading deserves attention."""
    return ", ".join(words for flag, words in FLAG_WORDS.items() if flags & flag)
