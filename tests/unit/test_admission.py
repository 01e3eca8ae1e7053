"""Admission decisions one by one: the smallest case on each side of every rule."""

import pytest
from msgspec.structs import replace

from mutualedge.errors import UsageError
from mutualedge.plan.admission import (
    Admitted,
    Booked,
    Job,
    LeaseSlots,
    NotAdmitted,
    NotBooked,
    NotReleased,
    Processor,
    Released,
    Reservation,
    check_job,
    check_reservation,
    reservations,
    windows,
)


def reservation(key: str, budget_ns: int, period_ns: int, deadline_ns: int) -> Reservation:
    """Return a reservation without naming its parts."""
    return Reservation(key=key, budget_ns=budget_ns, period_ns=period_ns, deadline_ns=deadline_ns)


def job(key: str, budget_ns: int, deadline_ns: int, release_ns: int = 0) -> Job:
    """Return a best-effort job without naming its parts."""
    return Job(key=key, budget_ns=budget_ns, deadline_ns=deadline_ns, release_ns=release_ns)


def code_of(verdict: Admitted | NotAdmitted) -> str:
    """Return the refusal's code, or ``admitted``."""
    return verdict.code if isinstance(verdict, NotAdmitted) else "admitted"


def test_a_longer_job_may_block_for_its_budget_less_one() -> None:
    """Budget 5 against a deadline of 5 with budget 1: 1 + (5 - 1) fits; budget 6 does not."""
    urgent = reservation("urgent", 1, 5, 5)
    assert check_reservation([urgent], reservation("long", 5, 100, 100)) == Admitted()
    verdict = check_reservation([urgent], reservation("long", 6, 100, 100))
    assert isinstance(verdict, NotAdmitted)
    assert (verdict.code, verdict.at_ns, verdict.demand_ns) == (
        "admission.reservation.demand",
        5,
        6,
    )


def test_a_full_processor_is_admitted_and_a_fuller_one_is_not() -> None:
    """Utilisation of exactly 1 holds; one nanosecond more in a million does not."""
    half = reservation("half", 1, 2, 2)
    assert check_reservation([half], reservation("rest", 1, 2, 2)) == Admitted()
    verdict = check_reservation([half], reservation("rest", 500_001, 1_000_000, 1_000_000))
    assert code_of(verdict) == "admission.reservation.utilisation"


def test_deadlines_beyond_the_period_are_used() -> None:
    """Two jobs of 3 every 6 cannot both finish in 3, and can when one has 6 or 9."""
    first = reservation("first", 3, 6, 3)
    assert code_of(check_reservation([first], reservation("second", 3, 6, 3))) == (
        "admission.reservation.demand"
    )
    assert (
        check_reservation([reservation("first", 3, 6, 6)], reservation("second", 3, 6, 9))
        == Admitted()
    )


def test_room_for_best_effort_is_kept() -> None:
    """A promise that fits alone is refused when local jobs of 4 must stay admissible."""
    new = reservation("new", 2, 10, 4)
    assert check_reservation([], new, best_effort_blocking_ns=2) == Admitted()
    verdict = check_reservation([], new, best_effort_blocking_ns=3)
    assert code_of(verdict) == "admission.reservation.demand"


def test_a_test_that_gives_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of steps is a refusal with a code of its own, never a yes."""
    existing = [reservation("a", 21, 80, 51), reservation("b", 2, 9, 34)]
    new = reservation("c", 26, 61, 70)
    assert check_reservation(existing, new) == Admitted()
    monkeypatch.setattr(reservations, "REFINEMENTS_MAX", 1)
    assert code_of(check_reservation(existing, new)) == "admission.reservation.undecided"


def test_reservations_of_a_processor_are_bounded() -> None:
    """The 257th reservation is refused, however small."""
    tiny = [reservation(str(n), 1, 10**9, 10**9) for n in range(reservations.RESERVATIONS_MAX)]
    assert check_reservation(tiny[:-1], tiny[-1]) == Admitted()
    verdict = check_reservation(tiny, reservation("more", 1, 10**9, 10**9))
    assert code_of(verdict) == "admission.reservation.count"


@pytest.mark.parametrize(("budget", "period", "deadline"), [(0, 1, 1), (1, 0, 1), (2, 9, 1)])
def test_a_malformed_reservation_is_refused(budget: int, period: int, deadline: int) -> None:
    """No empty duration, and no deadline shorter than the budget."""
    with pytest.raises(UsageError, match=r"reservation\.malformed"):
        reservation("bad", budget, period, deadline)


@pytest.mark.parametrize(("budget", "deadline"), [(0, 5), (6, 5)])
def test_a_malformed_job_is_refused(budget: int, deadline: int) -> None:
    """A job takes time, and fits between its release and its deadline."""
    with pytest.raises(UsageError, match=r"job\.malformed"):
        job("bad", budget, deadline)


def test_jobs_fill_the_processor_to_the_nanosecond() -> None:
    """Three jobs of 10 fit by 30, whatever their order; one more nanosecond does not."""
    processor = Processor()
    for each in (job("a", 10, 10), job("b", 10, 30), job("c", 10, 29)):
        assert processor.admit(each, 0) == Admitted()
    verdict = processor.admit(job("d", 1, 30), 0)
    assert isinstance(verdict, NotAdmitted)
    assert (verdict.code, verdict.at_ns, verdict.demand_ns) == ("admission.job.demand", 30, 31)


def test_the_running_job_counts_with_what_it_may_still_take() -> None:
    """Started at 0 with 10, seen at 4: ten more can be due at 20, not at 19."""
    processor = Processor()
    processor.admit(job("a", 10, 100), 0)
    processor.start("a", 0)
    state = processor.snapshot()
    assert code_of(check_job(state, job("b", 10, 19), 4)) == "admission.job.late"
    assert check_job(state, job("b", 10, 20), 4) == Admitted()
    assert code_of(check_job(state, job("b", 10, 100), 11)) == "admission.running.overrun"


def test_a_job_must_not_block_a_promise_that_may_be_claimed_at_any_time() -> None:
    """Beside 2 in 4 every 20, three nanoseconds may be held, four may not."""
    processor = Processor()
    assert processor.add_reservation(reservation("lease", 2, 20, 4), 0) == Admitted()
    state = processor.snapshot()
    assert check_job(state, job("short", 3, 100), 0) == Admitted()
    assert code_of(check_job(state, job("long", 4, 100), 0)) == "admission.job.blocking"


def test_a_recent_release_makes_room_for_a_longer_job() -> None:
    """After the lease's job of instant 0, the next comes at 20: 19 - 2 nanoseconds may be held."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 4), 0)
    processor.release("lease", "promised", 0, budget_ns=2)
    processor.start("promised", 0)
    processor.finish("promised", 2)
    state = processor.snapshot()
    assert check_job(state, job("long", 20, 100, 2), 2) == Admitted()
    assert code_of(check_job(state, job("longer", 21, 100, 2), 2)) == "admission.job.blocking"


def after_one_promised_job(*leases: Reservation) -> Processor:
    """Return a processor at instant 2, on which the first lease released at 0 and finished."""
    processor = Processor()
    for lease in leases:
        assert processor.add_reservation(lease, 0) == Admitted()
    processor.release(leases[0].key, "promised", 0, budget_ns=2)
    processor.start("promised", 0)
    processor.finish("promised", 2)
    return processor


def test_other_promises_may_delay_the_start_of_a_longer_job() -> None:
    """Delayed to 11 by two jobs of one lease and one of another, it must end by 102."""
    state = after_one_promised_job(
        reservation("tight", 2, 100, 4),
        reservation("often", 3, 6, 500),
        reservation("seldom", 3, 500, 500),
    ).snapshot()
    assert check_job(state, job("long", 91, 1_000), 2) == Admitted()
    assert code_of(check_job(state, job("longer", 92, 1_000), 2)) == "admission.job.blocking"


def test_one_waiting_job_at_most_relies_on_history() -> None:
    """Each such job costs a demand test at every admission, so a second one is refused."""
    processor = after_one_promised_job(reservation("tight", 2, 1_000, 4))
    assert processor.admit(job("long", 100, 5_000), 2) == Admitted()
    assert code_of(processor.admit(job("second", 100, 6_000), 2)) == "admission.job.blocking"
    assert processor.admit(job("short", 3, 6_000), 2) == Admitted()


def test_a_promise_may_be_claimed_at_the_instant_of_the_check() -> None:
    """Both due at 4, a job of 3 and the lease's 2 do not fit; due at 5 they do."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 4), 0)
    assert code_of(processor.admit(job("late", 3, 4), 0)) == "admission.job.demand"
    assert processor.admit(job("later", 3, 5), 0) == Admitted()


def test_a_promise_claimed_at_the_instant_of_a_start_counts_from_the_next() -> None:
    """Running 4, promised 2 due at 7 then, and one more: exactly 7."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 6), 0)
    processor.admit(job("running", 4, 100), 0)
    processor.start("running", 0)
    assert processor.admit(job("new", 1, 6), 0) == Admitted()


def test_a_later_release_needs_its_own_window() -> None:
    """A job of 5 that starts just before a release at 10 leaves no room for 7 by 17."""
    processor = Processor()
    processor.admit(job("blocker", 5, 100), 0)
    later = job("later", 7, 20, 10)
    assert code_of(check_job(processor.snapshot(), later, 0)) == "admission.job.ahead_demand"
    assert check_job(processor.snapshot(), replace(later, deadline_ns=21), 0) == Admitted()


def test_jobs_released_later_are_bounded() -> None:
    """The seventeenth job whose release lies ahead is refused by count."""
    processor = Processor()
    for n in range(16):
        assert processor.admit(job(str(n), 1, 10_000, 5_000 + n), 0) == Admitted()
    assert code_of(processor.admit(job("more", 1, 10_000, 5_000), 0)) == "admission.job.ahead"


def test_a_reservation_must_fit_beside_waiting_jobs() -> None:
    """A feasible promise is refused while a job waits that could block it."""
    processor = Processor()
    processor.admit(job("long", 50, 1_000), 0)
    new = reservation("lease", 2, 20, 4)
    assert code_of(processor.add_reservation(new, 0)) == "admission.reservation.pending"
    processor.start("long", 0)
    processor.finish("long", 50)
    assert processor.add_reservation(new, 50) == Admitted()


def test_a_reservation_must_leave_waiting_jobs_in_time() -> None:
    """Ten due by 12 leave room for 2 due by 12, not for 3."""
    processor = Processor()
    processor.admit(job("waiting", 10, 12), 0)
    verdict = processor.add_reservation(reservation("three", 3, 100, 12), 0)
    assert code_of(verdict) == "admission.reservation.pending"
    assert processor.add_reservation(reservation("two", 2, 100, 12), 0) == Admitted()


def test_a_release_waits_until_its_period_has_passed() -> None:
    """Jobs at 0 and 3 of a stream with period 20 are released at 0 and 20."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 4), 0)
    first = processor.release("lease", "first", 0, budget_ns=2)
    second = processor.release("lease", "second", 3, budget_ns=1)
    assert isinstance(first, Released)
    assert isinstance(second, Released)
    assert (first.job.release_ns, second.job.release_ns) == (0, 20)
    assert second.job.deadline_ns == 24


def test_an_arrival_at_the_instant_of_a_start_counts_a_nanosecond_later() -> None:
    """It missed that choice, and the proof of its deadline counts from the next one."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 4), 0)
    processor.admit(job("local", 3, 100), 0)
    processor.start("local", 0)
    outcome = processor.release("lease", "promised", 0, budget_ns=2)
    assert isinstance(outcome, Released)
    assert (outcome.job.release_ns, outcome.job.deadline_ns) == (1, 5)


def test_a_partner_that_sends_too_much_is_refused() -> None:
    """Too long a budget and a ninth waiting job are the sender's faults, with their codes."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 2, 20, 4), 0)
    outcomes = [processor.release("lease", str(n), 0, budget_ns=2) for n in range(9)]
    assert all(isinstance(outcome, Released) for outcome in outcomes[:8])
    assert isinstance(outcomes[8], NotReleased)
    assert outcomes[8].code == "admission.release.count"
    greedy = processor.release("lease", "greedy", 0, budget_ns=3)
    assert isinstance(greedy, NotReleased)
    assert greedy.code == "admission.release.budget"


def test_the_earliest_deadline_goes_first_and_equal_ones_by_arrival() -> None:
    """EDF among the released; a job whose release lies ahead is not chosen yet."""
    processor = Processor()
    for each in (job("b", 1, 50), job("a", 1, 50), job("urgent", 1, 9, 4)):
        assert processor.admit(each, 0) == Admitted()
    order = []
    for now_ns in (0, 4, 5):
        chosen = processor.next_job(now_ns)
        assert chosen is not None
        processor.start(chosen.key, now_ns)
        processor.finish(chosen.key, now_ns + 1)
        order.append(chosen.key)
    assert order == ["b", "urgent", "a"]
    assert processor.next_release_ns() is None


def test_only_the_next_job_may_start_and_only_the_running_one_finish() -> None:
    """The guarantees need EDF's order, so the state machine insists on it."""
    processor = Processor()
    processor.admit(job("first", 1, 10), 0)
    processor.admit(job("second", 1, 20), 0)
    with pytest.raises(UsageError, match=r"start\.order"):
        processor.start("second", 0)
    processor.start("first", 0)
    assert processor.next_job(0) is None
    with pytest.raises(UsageError, match=r"finish\.order"):
        processor.finish("second", 1)


def test_misuse_is_named() -> None:
    """Repeated keys, unknown names and a clock that runs backwards are the caller's errors."""
    processor = Processor()
    lease = reservation("lease", 2, 20, 4)
    processor.add_reservation(lease, 10)
    processor.admit(job("a", 1, 100), 10)
    with pytest.raises(UsageError, match=r"reservation\.duplicate"):
        processor.add_reservation(lease, 10)
    with pytest.raises(UsageError, match=r"job\.duplicate"):
        processor.admit(job("a", 1, 100), 10)
    with pytest.raises(UsageError, match=r"job\.reserved"):
        processor.admit(replace(job("b", 1, 100), reservation_key="lease"), 10)
    with pytest.raises(UsageError, match=r"reservation\.unknown"):
        processor.release("other", "b", 10, budget_ns=1)
    with pytest.raises(UsageError, match=r"reservation\.unknown"):
        processor.remove_reservation("other", 10)
    with pytest.raises(UsageError, match=r"withdraw\.unknown"):
        processor.withdraw("b", 10)
    with pytest.raises(UsageError, match=r"clock\.backwards"):
        processor.withdraw("a", 9)


def test_what_has_no_deadline_waits_for_what_has_one() -> None:
    """The processor is not free for it before a job, nor before one admitted for later."""
    processor = Processor(best_effort_blocking_ns=9)
    assert processor.admit(job("later", 5, 15, release_ns=10), 0) == Admitted()
    assert not processor.can_occupy(0)
    with pytest.raises(UsageError) as refused:
        processor.occupy("errand", 10, 0)
    assert refused.value.code == "admission.occupy.order"
    processor.withdraw("later", 0)
    processor.occupy("errand", 10, 0)
    assert not processor.can_occupy(0)


def test_jobs_are_admitted_around_what_has_no_deadline() -> None:
    """What runs counts with its whole budget until it ends."""
    processor = Processor(best_effort_blocking_ns=9)
    processor.occupy("errand", 10, 0)
    assert code_of(processor.admit(job("a", 5, 14), 1)) == "admission.job.late"
    assert processor.admit(job("b", 5, 15), 1) == Admitted()
    processor.finish("errand", 2)
    assert processor.admit(job("c", 5, 12), 2) == Admitted()


def test_removing_a_reservation_keeps_its_jobs_and_frees_its_share() -> None:
    """What arrived keeps its deadline; what has not arrived no longer counts."""
    processor = Processor()
    processor.add_reservation(reservation("lease", 10, 20, 20), 0)
    processor.release("lease", "promised", 0, budget_ns=10)
    assert code_of(processor.admit(job("big", 25, 1_000), 0)) == "admission.job.blocking"
    processor.remove_reservation("lease", 0)
    processor.validate()
    assert code_of(processor.admit(job("urgent", 11, 20), 0)) == "admission.job.demand"
    assert processor.admit(job("big", 25, 1_000), 0) == Admitted()


def test_a_withdrawn_job_frees_its_room() -> None:
    """What does not fit beside a waiting job fits after it is withdrawn."""
    processor = Processor()
    processor.admit(job("a", 10, 15), 0)
    assert code_of(processor.admit(job("b", 10, 15), 0)) == "admission.job.demand"
    assert processor.withdraw("a", 0).key == "a"
    assert processor.admit(job("b", 10, 15), 0) == Admitted()


def test_an_exact_test_of_a_job_that_gives_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only counting each stream's jobs shows that a job fits, not counting refuses it."""
    processor = Processor()
    leases = (reservation("a", 25, 61, 70), reservation("b", 31, 99, 56))
    for lease in leases:
        assert processor.add_reservation(lease, 0) == Admitted()
        processor.release(lease.key, f"of-{lease.key}", 0, budget_ns=lease.budget_ns)
    for key, now_ns in (("of-b", 0), ("of-a", 31)):
        processor.finish(key, now_ns + processor.start(key, now_ns).job.budget_ns)
    edge = job("edge", 40, 125, 56)
    assert check_job(processor.snapshot(), edge, 56) == Admitted()
    monkeypatch.setattr(windows, "JOB_REFINEMENTS_MAX", 0)
    assert code_of(check_job(processor.snapshot(), edge, 56)) == "admission.job.undecided"


def slots() -> LeaseSlots:
    """Return a lease of 2 every 20 within 5, from 100 to 200, 3 away."""
    return LeaseSlots(
        budget_ns=2, period_ns=20, deadline_ns=5, starts_ns=100, ends_ns=200, network_ns=3
    )


def test_bookings_keep_the_period_and_the_network_bound() -> None:
    """Sent at 100 and 101: released at 103 and 123, back by 111 and 131."""
    lease = slots()
    assert lease.book(2, 100, 111) == Booked(release_ns=103, finish_bound_ns=111)
    assert lease.book(1, 101, 500) == Booked(release_ns=123, finish_bound_ns=131)


@pytest.mark.parametrize(
    ("budget", "now_ns", "deadline_ns", "code"),
    [
        (3, 100, 500, "booking.job.budget"),
        (2, 99, 500, "booking.lease.not_started"),
        (2, 193, 500, "booking.lease.ended"),
        (2, 100, 110, "booking.job.deadline"),
    ],
)
def test_a_refused_booking_names_its_cause_and_takes_no_slot(
    budget: int, now_ns: int, deadline_ns: int, code: str
) -> None:
    """Each condition refuses alone, and the next job finds the slot free."""
    lease = slots()
    outcome = lease.book(budget, now_ns, deadline_ns)
    assert isinstance(outcome, NotBooked)
    assert outcome.code == code
    assert lease.book(2, 192, 500) == Booked(release_ns=195, finish_bound_ns=203)


def test_a_malformed_lease_is_refused() -> None:
    """An empty window cannot be booked."""
    with pytest.raises(UsageError, match=r"lease\.malformed"):
        LeaseSlots(budget_ns=1, period_ns=1, deadline_ns=1, starts_ns=5, ends_ns=5, network_ns=1)
