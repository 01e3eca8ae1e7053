"""The requester's side of a lease: a job is booked without asking the provider."""

import msgspec

from mutualedge.errors import UsageError


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """The provider owes the result by the bound.

    Attributes:
        release_ns: Absolute; the provider may start the job from here on at the latest.
        finish_bound_ns: Absolute; its reply is here by then.
    """

    release_ns: int
    finish_bound_ns: int


class NotBooked(msgspec.Struct, frozen=True, kw_only=True):
    """Why this lease cannot serve the job.

    Attributes:
        code: Stable dotted cause.
        sentence: What does not fit and what to do.
    """

    code: str
    sentence: str


class LeaseSlots:
    """The slots of one lease as the requester may rely on them.

    Assumes that the provider releases a job at max(arrival, its previous release + period), that
    jobs arrive in the order of booking, and that each arrives within the network bound. Then no
    provider release is later than the one computed here, by induction over the jobs, and every
    job finishes by the bound. A job that is booked but never sent only wastes its slot.
    """

    def __init__(
        self,
        *,
        budget_ns: int,
        period_ns: int,
        deadline_ns: int,
        starts_ns: int,
        ends_ns: int,
        network_ns: int,
    ) -> None:
        """Begin with all slots free.

        Args:
            budget_ns: Processor time of one job.
            period_ns: Time between two releases.
            deadline_ns: From the release to the finish at the provider.
            starts_ns: Absolute begin of the lease.
            ends_ns: Absolute end; the provider finishes every job by then.
            network_ns: One way at most, in either direction: encryption that no budget covers,
                clock skew, and 1 ns for an arrival at the very instant of another job's start.

        Raises:
            UsageError: A duration is not positive, or the window is empty.
        """
        if min(budget_ns, period_ns, deadline_ns, network_ns, ends_ns - starts_ns) < 1:
            sentence = (
                f"A lease of {budget_ns} ns every {period_ns} ns within {deadline_ns} ns from "
                f"{starts_ns} to {ends_ns}, {network_ns} ns away, has an empty part; each "
                "duration must be at least 1 ns."
            )
            raise UsageError("booking.lease.malformed", sentence)
        self._budget_ns = budget_ns
        self._period_ns = period_ns
        self._deadline_ns = deadline_ns
        self._starts_ns = starts_ns
        self._ends_ns = ends_ns
        self._network_ns = network_ns
        self._next_release_ns = starts_ns

    def book(self, job_budget_ns: int, now_ns: int, deadline_ns: int) -> Booked | NotBooked:
        """Take the next slot for a job that is sent now, if its result is back in time.

        Args:
            job_budget_ns: The job's processor time, at most the lease's.
            now_ns: Absolute; when the job is sent.
            deadline_ns: Absolute; when the invocation needs the result.
        """
        if not 1 <= job_budget_ns <= self._budget_ns:
            sentence = (
                f"The job needs {job_budget_ns} ns and the lease grants 1 to {self._budget_ns} "
                "ns; use another lease."
            )
            return NotBooked(code="booking.job.budget", sentence=sentence)
        if now_ns < self._starts_ns:
            sentence = f"The lease begins at {self._starts_ns}; send from then on."
            return NotBooked(code="booking.lease.not_started", sentence=sentence)
        release_ns = max(now_ns + self._network_ns, self._next_release_ns)
        finish_ns = release_ns + self._deadline_ns
        if finish_ns > self._ends_ns:
            sentence = (
                f"The next slot finishes at {finish_ns} and the lease ends at {self._ends_ns}; "
                "use another lease."
            )
            return NotBooked(code="booking.lease.ended", sentence=sentence)
        finish_bound_ns = finish_ns + self._network_ns
        if finish_bound_ns > deadline_ns:
            sentence = (
                f"The next slot's result is back by {finish_bound_ns}, after the deadline "
                f"{deadline_ns}; use another lease or run it here."
            )
            return NotBooked(code="booking.job.deadline", sentence=sentence)
        self._next_release_ns = release_ns + self._period_ns
        return Booked(release_ns=release_ns, finish_bound_ns=finish_bound_ns)
