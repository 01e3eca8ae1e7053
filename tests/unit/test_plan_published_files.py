"""The published planner's files at the command: what they become, and what is refused."""

import json
from pathlib import Path

import pytest

from mutualedge.app.planning.commands import solve_file
from mutualedge.app.planning.policies import run_policies
from mutualedge.app.planning.published import (
    draw_files,
    export_files,
    import_file,
    reference_text,
)
from mutualedge.errors import UsageError
from mutualedge.plan.reference import Gene, format_genes, parse_config, parse_genes

CONFIG = """# two tasks
*genetic
10 4 3.0 1.5

*cpufreq
1 100 1
.5 30 .3

*mem
dram 45000000 1 .01 .001

*cloud
mec 10 60 3.5 45000000 1.0

*offloadingratio
0
1

*network
30 120
30 120

*netcommander
3 6
2 5

*task
5000 40000 100000 0.1 600 200 150 0
9990 49990 100000 0.1
"""

GENERATOR = """*gentask
500 1000 45000000 0.5 0.6 4 500 750 100 500 100 250

*gennetwork
30 80 120 800 4

*gennetcommander
1 5 5 7 4

*mem
dram 45000000 1 0.01 0.001
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gastask.conf"
    path.write_text(CONFIG)
    return path


def test_a_config_is_planned_and_its_plan_goes_back(config: Path, tmp_path: Path) -> None:
    """Import, solve, export, and the published cost of what was exported."""
    scenario, plan, tasks = (tmp_path / name for name in ("s.json", "p.json", "task.txt"))
    assert "2 tasks" in import_file(config, scenario)
    assert solve_file(scenario, "mutual", limit_s=10, gap=1e-6, out=plan, as_json=False) == 0
    assert "2 rows" in export_files(scenario, plan, tasks)
    assert tasks.read_text().splitlines()[0].startswith("# mem_idx")
    told = json.loads(reference_text(config, tasks, "private", offloads=None, as_json=True))
    assert told["accepted"]
    assert told["hardware_usd_month"] == pytest.approx(2 * 54.794520547945204)
    assert "published" in reference_text(config, tasks, "public", offloads=None, as_json=False)


def test_what_is_not_a_number_is_null(config: Path, tmp_path: Path) -> None:
    """A plan above the cutoff has no cost, and JSON has no word for that but null."""
    config.write_text(CONFIG.replace("10 4 3.0 1.5", "10 4 0.01 1.5"))
    tasks = tmp_path / "task.txt"
    tasks.write_text(
        format_genes([Gene(memory_index=0, frequency_index=0, server_index=0, ratio_index=0)] * 2)
    )
    told = json.loads(reference_text(config, tasks, "mutual", offloads=None, as_json=True))
    assert told["accepted"] is False
    assert told["total_usd_month"] is None


def test_a_plan_in_either_format_is_read() -> None:
    """Four columns, or the ancestor's two; comments are passed over."""
    genes = parse_genes("# header\n1 2 3 1\n\n0 4\n", source="task.txt")
    assert genes == (
        Gene(memory_index=1, frequency_index=2, server_index=3, ratio_index=1),
        Gene(memory_index=0, frequency_index=4, server_index=0, ratio_index=0),
    )
    assert parse_genes(format_genes(genes), source="task.txt") == genes
    with pytest.raises(UsageError, match="line 2"):
        parse_genes("0 0 0 0\n0 x 0 0\n", source="task.txt")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("7 0 0 0", "memory 7"),
        ("0 2 0 0", "frequency 2"),
        ("0 0 1 0", "server 1"),
        ("0 0 0 2", "ratio 2"),
    ],
)
def test_an_index_behind_the_end_is_refused(
    config: Path, tmp_path: Path, row: str, words: str
) -> None:
    """The published planner reads whatever lies behind its arrays."""
    tasks = tmp_path / "task.txt"
    tasks.write_text(f"0 0 0 0\n{row}\n")
    with pytest.raises(UsageError, match=words):
        reference_text(config, tasks, "mutual", offloads=None, as_json=True)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("*cpufreq", "stray 1\n\n*cpufreq", 0),
        ("3.0", "three", 3),
        ("100 1\n", "100\n", 6),
        ("0.1 600", "nan 600", 28),
    ],
)
def test_a_malformed_line_is_named(before: str, after: str, line: int) -> None:
    """Too few fields, words for numbers, rows outside sections, numbers that are none."""
    text = CONFIG.replace(before, after, 1)
    with pytest.raises(UsageError, match=f"line {line}" if line else "in no section"):
        parse_config(text, source="gastask.conf")


def test_what_is_drawn_is_three_files_and_the_same_for_a_seed(tmp_path: Path) -> None:
    """Nothing is overwritten; another seed draws others."""
    path = tmp_path / "gasgen.conf"
    path.write_text(GENERATOR)
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        folder.mkdir()
        assert "full power utilization" in draw_files(path, folder, seed)
    texts = [(folder / "task_generated.txt").read_text() for folder in folders]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0].splitlines()) == 4
    with pytest.raises(UsageError, match="exists"):
        draw_files(path, folders[0], 1)
    path.write_text(CONFIG)
    with pytest.raises(UsageError, match="gentask"):
        draw_files(path, folders[0], 1)


TEMPLATE = """*cpufreq
1 100 1
.5 30 .5

*mem
dram 1000 1 .01 .01
nvram 1000 .8 .01 .001

*task
14 60 300 0.1
3 10 300 0.1
7 20 300 0.1
"""


def test_rules_of_thumb_are_executed_and_one_without_a_choice_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each policy with its power and no late job; what overloads has no choice that holds."""
    config, tasks = tmp_path / "simrts.conf", tmp_path / "task.txt"
    config.write_text(TEMPLATE)
    tasks.write_text("0 0\n0 0\n1 0\n")
    assert run_policies(config, tasks, horizon_ms=60_000, as_json=True) == 0
    told = {each["policy"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(told) == ["dram", "hm", "dvsdram", "dvshm", "dvshm_gr", "fixed"]
    assert {each["missed"] for each in told.values()} == {0}
    assert told["dram"]["busy_share"] == pytest.approx(14 / 60 + 3 / 10 + 7 / 20)
    assert told["dram"]["memory_w"] == pytest.approx(9.0)
    parts = ("cpu_active_w", "cpu_idle_w", "memory_active_w", "memory_idle_w")
    for each in told.values():
        assert sum(each[part] for part in parts) == pytest.approx(each["power_w"])
    tasks.write_text("0 1\n0 1\n0 1\n")
    assert run_policies(config, tasks, horizon_ms=60_000, as_json=False) == 3
    assert "no choice holds" in capsys.readouterr().out
    assert run_policies(config, None, horizon_ms=60_000, as_json=False) == 0
    assert "fixed" not in capsys.readouterr().out
    tasks.write_text("7 0\n0 0\n0 0\n")
    with pytest.raises(UsageError, match="memory 7"):
        run_policies(config, tasks, horizon_ms=60_000, as_json=False)
