"""Take one guard of the product away, and a named check of the simulation fails.

Each plan passes with its guard in place; that is asserted too.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from mutualedge.consortium import Hub
from mutualedge.ledger import Ledger, Outcome, accounts, engine, trust
from mutualedge.ledger.accounts import CreditLine
from mutualedge.ledger.commands import Command
from mutualedge.ledger.context import write_row
from mutualedge.ledger.contract import OUTCOME_TABLE, RecordedOutcome
from mutualedge.model import Digest
from mutualedge.node.books import OUTBOX_BUCKET
from mutualedge.node.offering import Offering
from mutualedge.node.provider import Provider
from mutualedge.node.station import Station
from mutualedge.plan.admission import Admitted, processor
from mutualedge.protocol import ReadingScored, Reply
from mutualedge.session.replay import ReplayWindow
from tests.simulation.scenarios import Result, simulate
from tests.simulation.schedule import QUIET, FaultRates
from tests.simulation.world import Plan

LEASE_MICROCREDITS = 540_000_500
"""Reserved by one lease of six hours: 1,080,001 calls of 500."""

REPEATING = FaultRates(loss=0.1, duplication=0.3, crash_per_commit=0, runner_loss_per_order=0)
CRASHING = FaultRates(loss=0.4, duplication=0, crash_per_commit=0.08, runner_loss_per_order=0)

SEEDS_TRIED = {"outbox": 12}
"""Where a crash must hit one moment: most of what it holds is asked for again after a restart."""


KEPT_ROWS = {
    "block": "countersignature",
    "device": "score",
    "entry": "record",
    "ledger": "command",
    "lent": "lease",
    "meter": "voucher",
    "record": "record",
    "statement": "statement",
    "witness": "cosignature",
}
"""What a reply vouches for that says more than a missing row of this bucket allows."""

Mutate = Callable[[pytest.MonkeyPatch], None]
WriteRow = Callable[[object, str, str, bytes | None], None]


def without_admission(patch: pytest.MonkeyPatch) -> None:
    """Take every job, whatever waits."""
    patch.setattr(processor, "check_job", lambda *_: Admitted())


def without_replay_window(patch: pytest.MonkeyPatch) -> None:
    """Open every record, however often it came."""
    patch.setattr(ReplayWindow, "verify_new", lambda _self, _seq: None)


def without_credit_limit(patch: pytest.MonkeyPatch) -> None:
    """Reserve whatever is asked, and sign it; the ledger still shows the true line."""
    endless = CreditLine(limit_microcredits=2**53, owed_microcredits=0, pending_microcredits=0)
    patch.setattr(accounts, "credit_line", lambda *_: endless)
    patch.setattr(Offering, "_verify_openable", lambda *_: None)


def without_idempotency(patch: pytest.MonkeyPatch) -> None:
    """Carry a command out each time it comes, and record its last outcome."""

    def run(self: Ledger, command: Command, digest: Digest) -> Outcome:
        outcome = self._run_new(command)
        row = RecordedOutcome(command=digest, outcome=outcome)
        write_row(self._store, f"{OUTCOME_TABLE}{command.enterprise}/{command.id}", row)
        return outcome

    patch.setattr(engine.Ledger, "_run_once", run)


def without_rows(bucket: str) -> Mutate:
    """Forget to write one kind of row, at nodes and hub."""

    def mutate(patch: pytest.MonkeyPatch) -> None:
        for party, name in ((Station, "write"), (Hub, "_write")):
            patch.setattr(party, name, _forgetting(getattr(party, name), bucket))

    return mutate


def _forgetting(write: WriteRow, bucket: str) -> WriteRow:
    def forget(party: object, where: str, key: str, value: bytes | None) -> None:
        if where != bucket:
            write(party, where, key, value)

    return forget


def without_removal_rule(patch: pytest.MonkeyPatch) -> None:
    """Let members go whatever they owe or are owed; the auditor has a rule of its own."""
    patch.setattr(trust, "refuse_unsettled", lambda *_: None)


def without_height(patch: pytest.MonkeyPatch) -> None:
    """Judge every block by the members of today."""
    patch.setattr(trust.TrustVersions, "at", lambda self, _height: self.latest)


def without_exits(patch: pytest.MonkeyPatch) -> None:
    """Wait for the countersignature of whoever left, whatever it said when it did."""
    patch.setattr(trust, "_verify_exit", lambda *_: None)


def without_window(patch: pytest.MonkeyPatch) -> None:
    """Run calls for ever, whatever is signed."""
    patch.setattr(Provider, "_check_window", lambda *_: None)


def without_answers(patch: pytest.MonkeyPatch) -> None:
    """Score readings and keep the scores."""
    answer = Station.answer

    def keep(self: Station, ask_id: int, reply: Reply) -> None:
        if not isinstance(reply, ReadingScored):
            answer(self, ask_id, reply)

    patch.setattr(Station, "answer", keep)


MUTANTS = {
    "admission": (
        without_admission,
        Plan(seed=1, hours=2, faults=QUIET, readings_a_day=2400),
        r"finished an admitted job \d+ ns late",
    ),
    "replay window": (
        without_replay_window,
        Plan(seed=1, hours=4, faults=QUIET, lie="call replayed"),
        "a runner opened one sealed call twice",
    ),
    "credit limit": (
        without_credit_limit,
        Plan(seed=1, hours=7, faults=QUIET, credit_microcredits=LEASE_MICROCREDITS + 10**6),
        "overdrew its credit",
    ),
    "idempotency": (
        without_idempotency,
        Plan(seed=1, hours=7, faults=REPEATING),
        "a command acted twice",
    ),
    "outbox": (
        without_rows(OUTBOX_BUCKET),
        Plan(seed=1, hours=12, faults=CRASHING, change="leave"),
        "nobody could leave",
    ),
    "window": (
        without_window,
        Plan(seed=1, hours=7, faults=QUIET, lie="voucher withheld", readings_a_day=1400),
        r" got \d+ for \d+",
    ),
    "removal": (
        without_removal_rule,
        Plan(seed=1, hours=12, faults=QUIET, change="leave"),
        r"got 0 for \d+",
    ),
    "height": (
        without_height,
        Plan(seed=1, hours=12, faults=QUIET, change="leave"),
        r"audit\.missing\.countersignature",
    ),
    "exits": (
        without_exits,
        Plan(seed=1, hours=12, faults=QUIET, change="leave silently"),
        r"block \d+ is not final",
    ),
    "answers": (
        without_answers,
        Plan(seed=1, hours=1, faults=QUIET),
        "has no answer and no excuse",
    ),
    **{
        f"{bucket} rows": (
            without_rows(bucket),
            Plan(seed=1, hours=7, faults=QUIET),
            "said without having kept: " + said,
        )
        for bucket, said in KEPT_ROWS.items()
    },
}


@cache
def _simulated(plan: Plan) -> Result:
    """Return what a plan came to with every guard in place, once."""
    return simulate(plan)


@pytest.mark.parametrize("guard", sorted(MUTANTS))
def test_what_is_missing_is_noticed(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its guard the plan passes; without it the check named here is the one that fails."""
    mutate, first, check = MUTANTS[guard]
    seeds = range(first.seed, first.seed + SEEDS_TRIED.get(guard, 1))
    plans = [replace(first, seed=seed) for seed in seeds]
    assert [plan for plan in plans if _simulated(plan).failure] == []
    mutate(monkeypatch)
    said = [simulate(plan).failure.strip().rpartition("\n")[2] for plan in plans]
    assert any(re.search(check, each) for each in said), said
