"""What a doctor finds out before it judges: plain values, so that a rule needs no machine."""

import msgspec

from mutualedge.app.operation.queries import ProcessState


class Library(msgspec.Struct, frozen=True, kw_only=True):
    """A library we need; ``locked`` is empty where no lock file lies beside this installation."""

    name: str
    installed: str
    locked: str


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """How far the clock can be trusted.

    Attributes:
        is_synchronised: As the kernel was told by who sets it; None where it cannot be asked.
        drift_us: By how much wall clock and monotonic clock disagreed over a short while.
        founded_ns: When the consortium was founded, by the same clock then; None without one.
        ledger_ns: What the newest block here says the time was; None without blocks.
    """

    now_ns: int
    is_synchronised: bool | None
    drift_us: int
    founded_ns: int | None
    ledger_ns: int | None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """Room, and what one durable write costs."""

    free_bytes: int
    fsync_us: int


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """Something the kernel grants or not, as tried out; ``words`` is what it said."""

    is_granted: bool
    words: str


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program beside us; ``path`` is empty where there is none."""

    path: str
    version: str


class OpenPath(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that others than its owner may enter or read."""

    path: str
    mode: int


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A port that a process listens on."""

    of: str
    number: int
    is_taken: bool
    is_owner_up: bool


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """The trust file of a process against the code that is installed here.

    Attributes:
        problem: Why the file does not verify; empty if it does.
        knows_this_code: It names the measurement of the runner's code as it is here.
        measured: That measurement.
        accepted: The measurements it names.
    """

    of: str
    version: int
    problem: str
    knows_this_code: bool
    measured: str
    accepted: tuple[str, ...]


class StoreCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What SQLite says of a store; ``problem`` is empty if it is sound."""

    of: str
    path: str
    problem: str


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node's way to the hub works; ``problem`` is empty if it does."""

    of: str
    address: str
    problem: str


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a member was told to leave and has not left.

    Attributes:
        own: Its folder.
    """

    of: str
    own: str
    is_begun: bool


class ProcessFact(msgspec.Struct, frozen=True, kw_only=True):
    """How a process is, and what it wants its operator to look at."""

    of: str
    state: ProcessState
    concerns: tuple[str, ...]
    is_given_up: bool = False
