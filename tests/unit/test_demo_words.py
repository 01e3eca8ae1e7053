import re
from pathlib import Path

import pytest

import mutualedge
from mutualedge.app.demo.floor import NODE_OFF
from mutualedge.app.demo.words import WORDS, sentence_of
from mutualedge.app.words import REASONS

SOURCE = "\n".join(
    path.read_text("utf-8")
    for path in Path(mutualedge.__file__).parent.rglob("*.py")
    if path.name != "words.py"
)


def test_an_event_of_interest_becomes_a_sentence() -> None:
    """Who it happened to and what it carries stand in it."""
    told = sentence_of("candy", "runner.spawned", {"layers": "wasm", "timing": "best-effort"})
    assert told == "   candy: a runner is up; timing: best-effort"


def test_everyday_events_are_not_told() -> None:
    """What a node notes every second would bury the rest."""
    assert sentence_of("candy", "checkpoint.cosigned", {"witness": "hub", "size": 7}) is None


@pytest.mark.parametrize("event", sorted(WORDS))
def test_told_events_exist(event: str) -> None:
    """No sentence waits for an event that nobody notes any more."""
    assert f'"{event}"' in SOURCE


@pytest.mark.parametrize("code", sorted(REASONS))
def test_reasons_in_words_exist(code: str) -> None:
    """No words for a code that nobody gives any more."""
    assert f'"{code}"' in SOURCE


def test_the_devices_own_code_is_no_nodes() -> None:
    """A device that finds nobody says so under a code of its own."""
    assert NODE_OFF in REASONS
    assert len(re.findall(rf'"{re.escape(NODE_OFF)}"', SOURCE)) == 1
