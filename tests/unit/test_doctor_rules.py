import msgspec
import pytest

from mutualedge.app.doctor import rules
from mutualedge.app.doctor.facts import (
    Clock,
    Disk,
    Leaving,
    Library,
    OpenPath,
    Port,
    ProcessFact,
    Program,
    Reach,
    Right,
    StoreCheck,
    Trust,
)
from mutualedge.app.doctor.report import finding_text, summary
from mutualedge.app.doctor.rules import Finding
from mutualedge.app.expiries import Expiry
from mutualedge.app.operation.queries import ProcessState
from mutualedge.app.status import NS_PER_DAY

NOW_NS = 1_800_000_000 * 10**9
YES, NO = Right(is_granted=True, words=""), Right(is_granted=False, words="not permitted")
SERVER = Program(path="/bin/nats-server", version="v2.15.1")
CLOCK = Clock(
    now_ns=NOW_NS,
    is_synchronised=True,
    drift_us=3,
    founded_ns=NOW_NS - NS_PER_DAY,
    ledger_ns=NOW_NS - NS_PER_DAY,
)
PORT = Port(of="hub", number=7422, is_taken=True, is_owner_up=True)
TRUST = Trust(
    of="candy",
    version=2,
    problem="",
    knows_this_code=True,
    measured="a1" * 32,
    accepted=("b2" * 32, "c3" * 32),
)


def test_an_old_python_is_a_problem() -> None:
    """The code needs what 3.11 brought."""
    assert rules.judge_python((3, 10)).result == "problem"
    assert rules.judge_python((3, 11)).result == "ok"


@pytest.mark.parametrize(
    ("installed", "locked", "result"),
    [("2.1", "2.1", "ok"), ("2.2", "2.1", "warning"), ("2.1", "", "ok"), ("", "2.1", "problem")],
)
def test_libraries_are_held_against_the_lock(installed: str, locked: str, result: str) -> None:
    """Another version than the tested one may work; none at all does not."""
    library = Library(name="msgspec", installed=installed, locked=locked)
    assert rules.judge_libraries([library]).result == result


@pytest.mark.parametrize(
    ("path", "version", "result"),
    [("/bin/s", "v2.15.1", "ok"), ("/bin/s", "", "problem"), ("", "", "problem")],
)
def test_a_server_must_be_there_and_answer(path: str, version: str, result: str) -> None:
    """Nothing starts without it."""
    assert rules.judge_nats_server(Program(path=path, version=version)).result == result


def test_bubblewrap_is_missed_but_not_needed() -> None:
    """Absent or refused, the runner has a wall less, and the finding says which."""
    absent = rules.judge_bubblewrap(Program(path="", version=""), NO)
    refused = rules.judge_bubblewrap(SERVER, NO)
    assert (absent.result, refused.result) == ("warning", "warning")
    assert "not permitted" in refused.meaning
    assert rules.judge_bubblewrap(SERVER, YES).result == "ok"


def test_root_needs_no_user_namespaces() -> None:
    """Everybody else does, for bubblewrap."""
    assert rules.judge_namespaces(NO, is_root=False).result == "warning"
    assert rules.judge_namespaces(NO, is_root=True).result == "ok"
    assert rules.judge_namespaces(YES, is_root=False).result == "ok"


def test_without_priority_nothing_is_guaranteed() -> None:
    """The advice names what systemd grants it with."""
    assert "LimitRTPRIO" in rules.judge_real_time(NO).advice
    assert rules.judge_real_time(NO).result == "warning"
    assert rules.judge_real_time(YES).result == "ok"


def test_few_open_files_are_a_warning() -> None:
    """Partners and devices would be refused."""
    assert rules.judge_open_files(1023).result == "warning"
    assert rules.judge_open_files(1024).result == "ok"


@pytest.mark.parametrize(
    ("free_mib", "fsync_us", "result"),
    [
        (10_000, 900, "ok"),
        (2_047, 900, "warning"),
        (199, 900, "problem"),
        (10_000, 20_001, "warning"),
    ],
)
def test_a_disk_needs_room_and_speed(free_mib: int, fsync_us: int, result: str) -> None:
    """Full stops a node, slow makes it late."""
    assert rules.judge_disk(Disk(free_bytes=free_mib << 20, fsync_us=fsync_us)).result == result


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, "ok"),
        ({"is_synchronised": None}, "ok"),
        ({"founded_ns": None}, "ok"),
        ({"is_synchronised": False}, "warning"),
        ({"drift_us": 2_001}, "warning"),
        ({"founded_ns": NOW_NS + 1}, "problem"),
        ({"ledger_ns": None}, "ok"),
        ({"ledger_ns": NOW_NS + 30 * 10**9}, "ok"),
        ({"ledger_ns": NOW_NS + 32 * 10**9}, "problem"),
    ],
)
def test_a_clock_must_be_right_and_steady(changes: dict[str, object], result: str) -> None:
    """Before the founding nothing is valid; unsynchronised, leases end at other times."""
    assert rules.judge_clock(msgspec.structs.replace(CLOCK, **changes)).result == result


def test_secrets_that_others_may_read_are_a_problem() -> None:
    """With the very command that mends it."""
    finding = rules.judge_permissions([OpenPath(path="/srv/a", mode=0o644)])
    assert (finding.result, finding.advice) == ("problem", "chmod go-rwx /srv/a")
    assert rules.judge_permissions([]).result == "ok"


def test_a_key_beside_the_node_is_worth_a_warning() -> None:
    """It says where the key lies and when it may."""
    finding = rules.judge_keys_beside(["/srv/candy/enterprise.key"])
    assert (finding.result, "/srv/candy/enterprise.key" in finding.meaning) == ("warning", True)
    assert "offline" in finding.advice
    assert rules.judge_keys_beside([]).result == "ok"


@pytest.mark.parametrize(
    ("is_taken", "is_owner_up", "result"),
    [
        (True, True, "ok"),
        (False, False, "ok"),
        (True, False, "problem"),
        (False, True, "problem"),
    ],
)
def test_a_port_is_held_by_its_process_or_free(
    result: str, *, is_taken: bool, is_owner_up: bool
) -> None:
    """Taken without its process, another program has it."""
    port = msgspec.structs.replace(PORT, is_taken=is_taken, is_owner_up=is_owner_up)
    assert rules.judge_port(port).result == result


@pytest.mark.parametrize(
    ("days", "result"), [(90, "ok"), (14, "ok"), (13.9, "warning"), (0, "warning"), (-1, "problem")]
)
def test_what_runs_out_is_told_in_time(days: float, result: str) -> None:
    """Two weeks before, and when it is too late."""
    ends_ns = NOW_NS + int(days * NS_PER_DAY)
    expiry = Expiry(of="hub", what="certificate", then="it is refused", ends_ns=ends_ns)
    assert rules.judge_expiry(expiry, NOW_NS).result == result


def test_another_code_than_the_trust_file_names_is_a_problem() -> None:
    """The runner would end with status 78; the finding says so before it does."""
    other = msgspec.structs.replace(TRUST, knows_this_code=False)
    meaning = rules.judge_trust(other).meaning
    assert "78" in meaning
    assert all(each in meaning for each in (TRUST.measured, *TRUST.accepted))
    assert rules.judge_trust(msgspec.structs.replace(TRUST, problem="No.")).result == "problem"
    assert rules.judge_trust(TRUST).result == "ok"


def test_a_damaged_store_is_a_problem() -> None:
    """Named by its file, with what to do."""
    finding = rules.judge_store(StoreCheck(of="hub", path="/s", problem="damaged."))
    assert (finding.result, finding.meaning) == ("problem", "/s: damaged.")
    assert rules.judge_store(StoreCheck(of="hub", path="/s", problem="")).result == "ok"


def test_a_hub_out_of_reach_is_a_warning() -> None:
    """Work goes on without it."""
    away = Reach(of="candy", address="10.0.0.1:7422", problem="it says nothing.")
    assert rules.judge_reach(away).result == "warning"
    assert rules.judge_reach(msgspec.structs.replace(away, problem="")).result == "ok"


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (ProcessState.RUNNING, "ok"),
        (ProcessState.STARTING, "warning"),
        (ProcessState.STOPPED, "warning"),
        (ProcessState.STALE, "problem"),
        (ProcessState.KILLED, "problem"),
    ],
)
def test_each_state_of_a_process_has_its_finding(state: ProcessState, result: str) -> None:
    """Told to stop is no problem; having vanished is."""
    assert rules.judge_process(ProcessFact(of="hub", state=state, concerns=())).result == result


def test_a_process_that_is_not_started_again_is_a_problem() -> None:
    """Nobody stopped it: it failed so often that trying was given up, and doctor says so too."""
    fact = ProcessFact(
        of="hub", state=ProcessState.STOPPED, concerns=("port taken",), is_given_up=True
    )
    assert rules.judge_process(fact).result == "problem"
    assert "port taken" in rules.judge_process(fact).meaning


def test_who_began_to_leave_and_stayed_is_told_so() -> None:
    """Its node looks healthy, and neither lends nor borrows."""
    begun = Leaving(of="candy", own="/v/candy", is_begun=True)
    finding = rules.judge_leaving(begun)
    assert finding.result == "warning"
    assert "mutualedge leave /v/candy" in finding.advice
    assert rules.judge_leaving(msgspec.structs.replace(begun, is_begun=False)).result == "ok"


def test_what_a_process_wants_looked_at_is_a_warning() -> None:
    """It runs, but its operator should know."""
    fact = ProcessFact(of="hub", state=ProcessState.RUNNING, concerns=("no hub",))
    assert "no hub" in rules.judge_process(fact).meaning
    assert rules.judge_process(fact).result == "warning"


def test_a_finding_reads_without_colour() -> None:
    """Its result stands in words in front, its advice below."""
    finding = Finding(check="disk", result=rules.Result.PROBLEM, meaning="Full.", advice="Mend.")
    assert finding_text(finding) == "PROBLEM disk: Full.\n        do: Mend."
    assert summary([finding]) == "1 checks: ok 0, warning 0, problem 1."
