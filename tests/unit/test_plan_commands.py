"""``mutualedge plan``: files in, words or JSON out, and a status that says how it went."""

import json
import signal
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.planning.admitting import WantedTask, admit_files
from mutualedge.app.planning.coalitions import propose_text
from mutualedge.app.planning.commands import (
    Settings,
    check_files,
    evolve_file,
    simulate_files,
    solve_file,
)
from mutualedge.app.planning.comparing import (
    compare_files,
    compare_text,
    comparison_json,
    prices_text,
    sweep_file,
    sweep_text,
)
from mutualedge.app.planning.frontier import pareto_file
from mutualedge.app.planning.patience import waiting
from mutualedge.app.planning.scenarios import Draw, generate_scenario, read_scenario
from mutualedge.errors import UsageError

SCENARIO = """
[[enterprises]]
name = "bakery"
nodes = [{ name = "oven" }]
tasks = [
  { name = "watch", wcet_ms = 20.0, period_ms = 100.0 },
  { name = "dough", wcet_ms = 60.0, period_ms = 100.0, send_ms = 1.0, input_kb = 4.0 },
]

[[enterprises]]
name = "harbour"
nodes = [{ name = "crane" }]
tasks = [{ name = "lift", wcet_ms = 30.0, period_ms = 100.0 }]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO)
    return path


def solved(scenario: Path, tmp_path: Path, strategy: str = "mutual") -> Path:
    out = tmp_path / "plan.json"
    status = solve_file(scenario, strategy, limit_s=20, gap=1e-6, out=out, as_json=False)
    assert status == 0
    return out


def test_a_plan_as_json_has_what_programs_read(
    scenario: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every field that the format promises, under its name."""
    assert solve_file(scenario, "mutual", limit_s=20, gap=1e-6, out=None, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"feasible", "objective_usd_month", "bound_usd_month", "gap", "method", "seconds"} <= {
        *told
    }
    assert set(told["cost"]) == {"cpu", "memory", "network", "baseline", "hardware", "rent"}
    assert sum(told["cost"].values()) == pytest.approx(told["objective_usd_month"])
    assert set(told["choices"][0]) == {"enterprise", "task", "place", "level", "memory"}
    assert set(told["utilisation"]) == {"oven", "crane"}
    assert sum(told["mileage"].values()) == pytest.approx(0)
    assert told["reasons"] == []


def test_a_plan_is_checked_replayed_and_drawn(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that solve writes is what check and simulate read."""
    plan = solved(scenario, tmp_path)
    assert check_files(scenario, plan, as_json=False) == 0
    figure, trace = tmp_path / "oven.svg", tmp_path / "oven.json"
    status = simulate_files(
        scenario,
        plan,
        horizon_ms=1_000,
        is_preemptive=True,
        node="oven",
        trace=trace,
        gantt=figure,
        as_json=True,
    )
    assert status == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [each["node"] for each in told] == ["oven"]
    assert told[0]["missed"] == 0
    assert "bakery/" in figure.read_text()
    assert json.loads(trace.read_text())["traceEvents"]


def test_a_plan_that_was_changed_is_refused(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything on the slowest level looks cheap and is late: check and replay say so."""
    plan = solved(scenario, tmp_path)
    told = json.loads(plan.read_text())
    for each in told["choices"]:
        each["place"], each["level"] = "oven", 1
    plan.write_text(json.dumps(told))
    assert check_files(scenario, plan, as_json=False) == 1
    assert "oven" in capsys.readouterr().out
    status = simulate_files(
        scenario,
        plan,
        horizon_ms=1_000,
        is_preemptive=True,
        node=None,
        trace=None,
        gantt=None,
        as_json=False,
    )
    assert status == 1
    assert "due at" in capsys.readouterr().out


def test_what_cannot_be_is_told_with_what_would_make_it_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two tasks that each need most of the only node: status 3, both named, and how much more."""
    path = tmp_path / "full.toml"
    path.write_text(
        '[[enterprises]]\nname = "bakery"\nnodes = [{ name = "oven" }]\ntasks = [\n'
        '  { name = "one", wcet_ms = 70.0, period_ms = 100.0 },\n'
        '  { name = "two", wcet_ms = 50.0, period_ms = 100.0 },\n'
        '  { name = "small", wcet_ms = 1.0, period_ms = 100.0 },\n]\n'
    )
    assert solve_file(path, "mutual", limit_s=20, gap=1e-6, out=None, as_json=True) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["feasible"] is False
    (reason,) = told["reasons"]
    assert reason["tasks"] == ["bakery/one", "bakery/two"]
    assert "1.2 times the processor of oven" in reason["sentence"]
    assert solve_file(path, "private", limit_s=20, gap=1e-6, out=None, as_json=False) == 3
    assert "cannot share the processor of oven" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wcet_ms", "deadline_ms", "is_preemptive", "status"),
    [
        (3.0, 100.0, True, 0),
        (3.0, 30.0, True, 0),
        (3.0, 30.0, False, 3),
        (10.0, 100.0, True, 3),
    ],
)
def test_one_more_task_fits_beside_a_plan_or_not(
    scenario: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    wcet_ms: float,
    deadline_ms: float,
    is_preemptive: bool,
    status: int,
) -> None:
    """The oven is 96.7 % full of its own: 3 ms fit, and wait for 60 ms that none may interrupt."""
    plan = solved(scenario, tmp_path, "private")
    task = WantedTask(wcet_ms=wcet_ms, period_ms=100.0, deadline_ms=deadline_ms)
    told = admit_files(scenario, plan, "oven", task, is_preemptive=is_preemptive, as_json=False)
    assert told == status
    text = capsys.readouterr().out
    assert "'oven' is 96.7% full" in text
    assert ("a longer job that began before" in text) == (deadline_ms < 60)


def test_an_unknown_node_takes_no_task(scenario: Path, tmp_path: Path) -> None:
    """The sentence names those that there are."""
    task = WantedTask(wcet_ms=1.0, period_ms=100.0, deadline_ms=100.0)
    plan = solved(scenario, tmp_path)
    with pytest.raises(UsageError) as refused:
        admit_files(scenario, plan, "mill", task, is_preemptive=True, as_json=True)
    assert "oven, crane" in refused.value.sentence


def test_less_energy_costs_more_money(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By rising energy money falls; each row but the last says what its saving costs."""
    assert pareto_file(scenario, "mutual", limit_s=60, as_json=True) == 0
    plans = json.loads(capsys.readouterr().out)["plans"]
    energies = [each["energy_kwh_month"] for each in plans]
    costs = [each["usd_month"] for each in plans]
    assert energies == sorted(energies)
    assert costs == sorted(costs, reverse=True)
    assert pareto_file(scenario, "mutual", limit_s=60, as_json=False) == 0
    assert "cheapest" in capsys.readouterr().out.splitlines()[-1]


def test_a_comparison_says_at_which_prices(scenario: Path) -> None:
    """Who rents or buys by it should know that the defaults are nobody's offer."""
    text = prices_text(scenario)
    assert "a kilowatt-hour 0.08 USD, a node 2,000 USD" in text
    assert str(scenario) in text


def test_the_first_interrupt_takes_the_best_so_far() -> None:
    """Ctrl-C once ends the search, not the command; afterwards it means what it meant before."""
    before = signal.getsignal(signal.SIGINT)
    with waiting(60) as patience:
        assert patience.left_s() > 0
        signal.raise_signal(signal.SIGINT)
        assert patience.left_s() == 0
        assert signal.getsignal(signal.SIGINT) is before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "enterprises"),
        (b"\xff\xfe", "neither JSON nor TOML"),
        (b"[[enterprises]]\nname = 'a b'\n", "name"),
        (b"[[enterprises]]\nname = 'a'\nspeed = 1\n", "speed"),
        (b'{"enterprises": []}', "enterprises"),
        (b"[[enterprises]]\nname='a'\n[[enterprises]]\nname='a'\n", "named 2 times"),
        (
            b"[[enterprises]]\nname='a'\ntasks=[{name='t',wcet_ms=1,period_ms=2,deadline_ms=3}]",
            "must not exceed period_ms",
        ),
        (b"[[enterprises]]\nname='a'\ntasks=[{name='t',wcet_ms=nan,period_ms=2}]", "wcet_ms"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """The sentence names the file and what in it is wrong."""
    path = tmp_path / "scenario.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as refused:
        read_scenario(path)
    assert str(path) in refused.value.sentence


def test_what_is_invented_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """Two files of one seed agree; another seed gives another; no file is overwritten."""
    first, second, other = (tmp_path / f"{name}.json" for name in ("a", "b", "c"))
    generate_scenario(Draw(tasks=5, seed=3), first)
    generate_scenario(Draw(tasks=5, seed=3), second)
    generate_scenario(Draw(tasks=5, seed=4), other)
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        generate_scenario(Draw(tasks=5, seed=3), first)


PROFILES = "hour,bakery,harbour,printer\n" + "".join(
    f"{hour},{8 if hour % 4 == 0 else 1},{8 if hour % 4 == 2 else 1},{5}\n" for hour in range(16)
)


def test_who_should_join_whom_is_told_with_money(tmp_path: Path) -> None:
    """Peaks at other hours: bakery and harbour; the printer's load is flat and saves nobody any."""
    path = tmp_path / "profiles.csv"
    path.write_text(PROFILES)
    told = json.loads(propose_text(path, 2, 0.5, 10.0, as_json=True))
    (proposal,) = told["proposals"]
    assert [each["name"] for each in proposal["members"]] == ["bakery", "harbour"]
    assert proposal["share"] == pytest.approx(7 / 16)
    assert proposal["kept_share"] == pytest.approx(7 / 16)
    assert [each["saved_usd_month"] for each in proposal["members"]] == [35.0, 35.0]
    assert proposal["stable"]
    assert "bakery" in propose_text(path, 2, 0.5, 10.0, as_json=False)


@pytest.mark.parametrize(
    ("content", "members", "share", "words"),
    [
        (PROFILES, 9, 0.5, "2 to 8"),
        (PROFILES, 2, 1.0, "no times"),
        ("hour,a\n1,2\n2,3\n", 2, 0.5, "names 1 members"),
        ("hour,a,b\n1,2\n2,3,4\n", 2, 0.5, "line 2"),
        ("hour,a,b\n1,2,x\n2,3,4\n", 2, 0.5, "'x' for b in line 2"),
        ("hour,a,b\n1,2,nan\n2,3,4\n", 2, 0.5, "'nan' for b in line 2"),
        ("hour,a,b\n", 2, 0.5, "fewer than two rows"),
        ("hour,a,a\n1,2,3\n2,3,4\n", 2, 0.5, "twice"),
    ],
)
def test_profiles_that_cannot_be_compared_are_refused(
    tmp_path: Path, content: str, members: int, share: float, words: str
) -> None:
    """Wrong sizes, shares and cells are named with where they stand."""
    path = tmp_path / "profiles.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        propose_text(path, members, share, 1.0, as_json=False)


@pytest.mark.parametrize(
    ("profiles", "shapes", "words"),
    [
        (None, None, "either --profiles FILE or --shapes NAMES"),
        (None, "bakery", "2 enterprises, but 1 shapes"),
        (None, "bakery,moon", "'moon' is no shape"),
        (None, "bakery,harvest", "of a day and of a year"),
        ("hour,bakery,nobody\n1,1,1\n2,1,1\n", None, "no column for harbour"),
    ],
)
def test_who_is_busy_when_must_be_said(
    scenario: Path, tmp_path: Path, profiles: str | None, shapes: str | None, words: str
) -> None:
    """One shape of one kind for each enterprise, or a column of loads for each."""
    path = tmp_path / "loads.csv"
    path.write_text(profiles or "")
    with pytest.raises(UsageError, match=words):
        compare_files(
            scenario,
            profiles=path if profiles else None,
            shapes=shapes,
            load=1.0,
            limit_s=10,
        )


def test_strategies_are_compared_over_measured_loads_and_over_rising_ones(
    scenario: Path, tmp_path: Path
) -> None:
    """A row for each strategy and enterprise; a row for each load."""
    path = tmp_path / "loads.csv"
    path.write_text("hour,bakery,harbour\n0,0.9,0.2\n1,0.2,0.9\n")
    told = compare_files(scenario, profiles=path, shapes=None, load=1.0, limit_s=60)
    text = compare_text(told)
    assert "mutual" in text
    assert "harbour" in text
    assert len(json.loads(comparison_json(told))["slots"]) == 8
    swept = sweep_file(scenario, first=0.2, last=0.6, step=0.2, limit_s=60)
    assert [line.split()[0] for line in sweep_text(swept).splitlines()[2:]] == ["0.2", "0.4", "0.6"]
    with pytest.raises(UsageError, match="are no loads"):
        sweep_file(scenario, first=0.5, last=0.1, step=0.1, limit_s=1)


def test_evolution_is_told_with_its_convergence(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same JSON as solve's, and a report with a row for each generation that was looked at."""
    report = tmp_path / "report.txt"
    status = evolve_file(
        scenario,
        "hybrid",
        Settings(population=32, children=640),
        limit_s=20,
        convergence=report,
        out=None,
        as_json=True,
    )
    assert status == 0
    assert json.loads(capsys.readouterr().out)["method"] == "genetic"
    assert [line.split()[0] for line in report.read_text().splitlines()] == [
        str(number) for number in range(21)
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("load", 0.0),
        ("load", float("nan")),
        ("tasks", 0),
        ("enterprises", 0),
        ("memory_share", -1.0),
        ("deadline_ratio_min", 3.0),
    ],
)
def test_what_cannot_be_drawn_is_refused(name: str, value: float) -> None:
    """The sentence names the number and the range it may lie in."""
    with pytest.raises(UsageError, match=name):
        msgspec.structs.replace(Draw(), **{name: value})


def test_a_time_that_is_none_is_refused(scenario: Path) -> None:
    """Not a number would never be over."""
    with pytest.raises(UsageError, match="no time"):
        solve_file(scenario, "mutual", limit_s=float("nan"), gap=1e-6, out=None, as_json=False)


def test_a_figure_shows_one_node_that_exists(scenario: Path, tmp_path: Path) -> None:
    """Of two nodes one is to be named; a node without jobs, or a horizon of nothing, is refused."""
    plan = solved(scenario, tmp_path)

    def simulated(node: str | None, horizon_ms: float = 100.0) -> int:
        return simulate_files(
            scenario,
            plan,
            horizon_ms=horizon_ms,
            is_preemptive=True,
            node=node,
            trace=None,
            gantt=tmp_path / "x.svg" if node is None else None,
            as_json=False,
        )

    for node, horizon_ms, words in ((None, 100.0, "--node"), ("moon", 100.0, "'moon'")):
        with pytest.raises(UsageError, match=words):
            simulated(node, horizon_ms)
    with pytest.raises(UsageError, match="horizon"):
        simulated("oven", 0.0)
