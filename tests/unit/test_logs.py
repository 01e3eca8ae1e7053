import heapq
from pathlib import Path

import pytest

from mutualedge.app.operation.logs import (
    UNREADABLE_EVENT,
    Entry,
    Tail,
    entries,
    entry_json,
    entry_text,
    event_files,
    since_instant,
)
from mutualedge.app.operation.rotation import RotatingFile
from mutualedge.errors import UsageError
from mutualedge.model import NS_PER_S, parse_instant

AT = "2026-11-21T08:00:00.000Z"
NOW_NS = parse_instant(AT)


def event(event: str, **fields: str | int) -> Entry:
    return Entry(at=AT, of="candy", event=event, fields=fields)


def line(second: int, name: str = "lease.agreed") -> bytes:
    return b'{"at":"2026-11-21T08:00:%02d.000Z","event":"%s"}\n' % (second, name.encode())


def test_an_event_with_words_is_told_in_them() -> None:
    """Without the number of the rehearsal's step that some of them begin with."""
    told = entry_text(event("lease.agreed", provider="logistics", lease="ab"))
    assert told.startswith(f"{AT} candy and logistics sign a lease")
    assert "3." not in told


def test_an_event_without_words_shows_its_fields() -> None:
    """Nothing an event carries is lost."""
    assert entry_text(event("oven.hot", waiting=3)) == f"{AT} candy: oven.hot waiting=3"


def test_a_digest_does_not_fill_a_line() -> None:
    """Its beginning is enough to find it; `--json` has all of it."""
    hot = event("oven.hot", lease="ab" * 32, grams=3)
    assert entry_text(hot) == f"{AT} candy: oven.hot lease=abababab… grams=3"
    assert "ab" * 32 in entry_json(hot)


def test_an_event_that_lacks_what_its_words_say_shows_its_fields() -> None:
    """A release before may have said less."""
    assert entry_text(event("lease.agreed", lease="ab")) == f"{AT} candy: lease.agreed lease=ab"


def test_an_event_cannot_steer_the_terminal() -> None:
    """A partner's sentence is shown with its escapes visible."""
    assert "\x1b" not in entry_text(event("peer.faulted", sentence="\x1b[2J", code="x"))


def test_an_event_as_json_names_its_process() -> None:
    """Programs get what was noted, and whose it is."""
    told = entry_json(event("hub.busy", waiting=3))
    assert told == f'{{"at":"{AT}","of":"candy","event":"hub.busy","waiting":3}}'


def test_a_torn_line_stands_where_it_was_found() -> None:
    """A killed process may leave half a line; what follows is read on."""
    found = list(entries("candy", iter([line(1), b'{"at":"2026-\n', line(2)])))
    assert [entry.event for entry in found] == ["lease.agreed", UNREADABLE_EVENT, "lease.agreed"]
    assert found[1].at == found[0].at


def test_processes_are_merged_by_time() -> None:
    """Events of several processes come in the order in which they happened."""
    streams = [entries("a", iter([line(1), line(3)])), entries("b", iter([line(2), line(4)]))]
    merged = heapq.merge(*streams, key=lambda entry: entry.at)
    assert [entry.of for entry in merged] == ["a", "b", "a", "b"]


def test_a_tail_begins_with_the_oldest_file_and_follows_over_renamings(tmp_path: Path) -> None:
    """Each line is seen once, however the file is put aside meanwhile."""
    path = tmp_path / "events"
    seen: list[bytes] = []
    with RotatingFile(path, bytes_max=3 * len(line(0)), keep=4) as file:
        for second in range(5):
            file.write(line(second))
        tail = Tail(path)
        seen += tail.lines()
        for second in range(5, 8):
            file.write(line(second))
            seen += tail.lines()
    tail.close()
    assert seen == [line(second) for second in range(8)]


def test_a_tail_waits_for_the_end_of_a_line(tmp_path: Path) -> None:
    """Half a line is nothing yet."""
    path = tmp_path / "events"
    tail = Tail(path)
    assert list(tail.lines()) == []
    path.write_bytes(line(1)[:10])
    assert list(tail.lines()) == []
    with path.open("ab") as file:
        file.write(line(1)[10:])
    assert list(tail.lines()) == [line(1)]
    tail.close()


@pytest.mark.parametrize(
    ("since", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7_200), ("1d", 86_400), (AT, 0)]
)
def test_a_time_is_named_as_span_or_instant(since: str, seconds: int) -> None:
    """Spans count back from now."""
    assert parse_instant(since_instant(since, NOW_NS)) == NOW_NS - seconds * NS_PER_S


def test_without_a_time_everything_is_wanted() -> None:
    """The first instant there is."""
    assert since_instant(None, NOW_NS) < "1970-01-02"


def test_a_time_that_is_none_is_refused() -> None:
    """With the form it should have."""
    with pytest.raises(UsageError) as refused:
        since_instant("yesterday", NOW_NS)
    assert refused.value.code == "model.instant.malformed"


def test_an_unknown_process_is_refused(tmp_path: Path) -> None:
    """With the names there are."""
    (tmp_path / "candy").mkdir()
    (tmp_path / "candy" / "process.json").touch()
    assert set(event_files(tmp_path, [])) == {"candy", "supervisor"}
    with pytest.raises(UsageError) as refused:
        event_files(tmp_path, ["candi"])
    assert refused.value.code == "app.process.unknown"
    assert "candy, supervisor" in refused.value.sentence
