"""The published planner's config: a text of sections, one row of numbers a line.

``#`` at the start of a line is a comment. A section begins with ``*name`` and ends at an empty
line, at the next ``*`` or with the text; a name may go on behind what it is known by. What stands
behind the fields of a row is passed over.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import msgspec

from mutualedge.errors import UsageError
from mutualedge.plan.reference.sections import (
    Drawing,
    Frequency,
    Genetic,
    Interception,
    Link,
    MemoryKind,
    Ranges,
    Ratio,
    ReferenceTask,
    Server,
)

ROWS_MAX = 5
"""Of levels, memories, servers and offloading ratios, as published."""


class ReferenceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All sections, a list of rows each; those that a file lacks are empty."""

    genetic: list[Genetic] = []
    gentask: list[Drawing] = []
    gennetwork: list[Ranges] = []
    gennetcommander: list[Ranges] = []
    cpufreq: list[Frequency] = []
    mem: list[MemoryKind] = []
    cloud: list[Server] = []
    offloadingratio: list[Ratio] = []
    network: list[Link] = []
    netcommander: list[Interception] = []
    task: list[ReferenceTask] = []


ROW_KINDS = {
    "genetic": Genetic,
    "gentask": Drawing,
    "gennetwork": Ranges,
    "gennetcommander": Ranges,
    "cpufreq": Frequency,
    "mem": MemoryKind,
    "cloud": Server,
    "offloadingratio": Ratio,
    "network": Link,
    "netcommander": Interception,
    "task": ReferenceTask,
}
"""By the name of the section."""

ORDERED = {"cpufreq": -1, "offloadingratio": 1}
"""Sections whose first fields may only fall, or only rise."""

LIMITED = frozenset({"cpufreq", "mem", "cloud", "offloadingratio"})


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the config, and where it stands."""

    number: int
    text: str
    source: str

    def refused(self, code: str, cause: str) -> UsageError:
        sentence = (
            f"{self.source}, line {self.number}, '{self.text.strip()}': {cause}; "
            "docs/reference/published-model.md lists sections and fields."
        )
        return UsageError(code, sentence)


def parse_config(text: str, *, source: str) -> ReferenceConfig:
    """Return what a config says.

    Args:
        text: The whole file.
        source: What to call it in errors.

    Raises:
        UsageError: A section is unknown, a row is short, has a word for a number, a number outside
            its range or out of order, or there are too many; the sentence names the line.
    """
    sections: dict[str, list[list[str]]] = {}
    for name, line in _rows(text, source):
        rows = sections.setdefault(name, [])
        rows.append([_field(field, line) for field in line.text.split()])
        _require(name, rows, line)
    return msgspec.convert(sections, ReferenceConfig, strict=False)


def _rows(text: str, source: str) -> Iterator[tuple[str, _Line]]:
    """Yield each row with the name of the section it stands in."""
    section: str | None = None
    for number, content in enumerate(text.splitlines(), start=1):
        line = _Line(number, content, source)
        if content.startswith("#"):
            continue
        if content.startswith("*"):
            section = _section(line)
        elif not content.strip():
            section = None
        elif section is None:
            raise line.refused("plan.reference.stray", "it stands in no section")
        else:
            yield section, line


def _section(line: _Line) -> str:
    for name in ROW_KINDS:
        if line.text[1:].startswith(name):
            return name
    known = ", ".join(f"*{name}" for name in ROW_KINDS)
    raise line.refused("plan.reference.section", f"it is none of {known}")


def _require(name: str, rows: list[list[str]], line: _Line) -> None:
    """Refuse a row that its section cannot have."""
    kind = ROW_KINDS[name]
    try:
        read = msgspec.convert(rows[-1], kind, strict=False)
    except msgspec.ValidationError as error:
        fields = " ".join(kind.__struct_fields__)
        cause = f"it should be {fields} ({error})"
        raise line.refused("plan.reference.row", cause) from error
    if isinstance(read, ReferenceTask) and read.wcet_ms >= read.period_ms:
        cause = "its execution time must be below its period"
        raise line.refused("plan.reference.task", cause)
    if name in LIMITED and len(rows) > ROWS_MAX:
        raise line.refused("plan.reference.count", f"*{name} has more than {ROWS_MAX} rows")
    way = ORDERED.get(name, 0)
    if len(rows) > 1 and way and (float(rows[-1][0]) - float(rows[-2][0])) * way < 0:
        verb = "rise" if way > 0 else "fall"
        raise line.refused("plan.reference.order", f"the rows of *{name} may only {verb}")


def _field(text: str, line: _Line) -> str:
    """Return a field as it is read: C's ``.5`` and ``1.`` as well, but nothing infinite."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not isfinite(value):
        raise line.refused("plan.reference.number", f"'{text}' is no finite number")
    return repr(value) if "." in text else text
