"""What a device is told to ask, and what it says became of it."""

import msgspec

WARM_UP_CALLS = 40

WARM = "warm"
"""What it says once it is ready; it begins when it is told a line."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A node to ask: where its devices connect, and as whom."""

    name: str
    url: str
    password: str


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """Questions to put to each node, one each period, evenly apart."""

    nodes: tuple[Asked, ...]
    calls: int
    period_ms: int
    deadline_ms: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one question.

    Attributes:
        name: Of the node.
        timing: The grade the result carries; empty if there is none.
        code: Of the refusal or failure; empty with a result.
        delay_us: From question to answer at the device, whatever the answer says.
    """

    name: str
    timing: str = ""
    code: str = ""
    delay_us: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a round came to: its answers, and one to a guaranteed question for each node."""

    answers: tuple[Answer, ...]
    guaranteed: tuple[Answer, ...]
