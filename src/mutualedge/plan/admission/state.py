"""What is on a processor at one instant, as the admission tests read it."""

from operator import attrgetter

import msgspec

from mutualedge.errors import UsageError
from mutualedge.model import JSON_INTEGER_MAX
from mutualedge.plan.admission.reservations import ReservationProfile

deadline_of = attrgetter("deadline_ns")
"""Sort key of pending jobs; insertion to the right keeps arrival order among equal deadlines."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One execution that runs to completion once started.

    Attributes:
        key: Unique among the jobs of its processor that are pending or running.
        budget_ns: Processor time at most, dispatch, cryptography and commit included.
        deadline_ns: Absolute.
        release_ns: Absolute; not started before.
        reservation_key: The promise it is part of; None for a job that needed its own admission.
    """

    key: str
    budget_ns: int
    deadline_ns: int
    release_ns: int
    reservation_key: str | None = None

    def __post_init__(self) -> None:
        """Refuse a job that takes no time or cannot finish even alone.

        Raises:
            UsageError: The budget is outside 1..2**53-1 or longer than release to deadline.
        """
        longest_ns = min(self.deadline_ns - self.release_ns, JSON_INTEGER_MAX)
        if not 1 <= self.budget_ns <= longest_ns:
            sentence = (
                f"Job '{self.key}' has a budget of {self.budget_ns} ns and "
                f"{self.deadline_ns - self.release_ns} ns from release to deadline; the budget "
                "must be at least 1 ns and fit."
            )
            raise UsageError("admission.job.malformed", sentence)


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The job that has the processor, until it finishes.

    Attributes:
        job: The job.
        started_ns: Absolute; its budget counts from here.
    """

    job: Job
    started_ns: int


class ProcessorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an admission test looks at.

    Attributes:
        profile: The promises.
        next_releases_ns: Per reservation of the profile, the earliest release of its next job
            that has not arrived yet: last release plus period, 0 before the first.
        pending: Admitted or promised jobs not started yet, by deadline, equal ones by arrival.
        running: The job that has the processor.
    """

    profile: ReservationProfile
    next_releases_ns: tuple[int, ...]
    pending: tuple[Job, ...]
    running: Running | None
