"""The published planner: its costs, its generator and its refusals, number by number."""

import math
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from mutualedge.errors import UsageError
from mutualedge.plan.reference import (
    Gene,
    Published,
    ReferenceConfig,
    draw_published,
    evaluate,
    parse_config,
)

FOLDER = Path(__file__).with_name("planner")
TOLERANCE = 1e-12

WHOLE = {
    "utilisation": "util",
    "cpu_w": "cpu_power",
    "memory_w": "mem_power",
    "network_w": "net_power",
    "power_w": "power",
    "total_usd_month": "total_cost",
    "score_usd_month": "score",
    "cpu_memory_usd_month": "cost_cpu_memory",
    "network_usd_month": "cost_network",
    "baseline_usd_month": "cost_base",
    "hardware_usd_month": "cost_hw",
    "rent_usd_month": "cost_rent",
    "constraint_penalty": "constraint_penalty",
    "fitness": "fitness",
}
EACH = {
    "utilisation": "util",
    "cpu_w": "cpu_power",
    "memory_w": "mem_power",
    "network_w": "net_power",
    "deadline_ratio": "deadline_ratio",
    "local_usd_month": "local_cost",
    "offload_usd_month": "offload_cost",
}

Fields = dict[str, int | float | str]


class Expected(msgspec.Struct):
    memusage_ok: bool
    accepted: bool
    period_violation: int
    tasks: list[Fields]


class CostCase(msgspec.Struct):
    id: str
    strategy: str
    real_offloading: int
    config: dict[str, Fields | list[Fields | list[float] | float]]
    genes: list[list[dict[str, int]]]
    expected: list[dict[str, object]]


class CostCases(msgspec.Struct):
    cases: list[CostCase]


class ErrorCase(msgspec.Struct):
    id: str
    conf: str
    exit_code: int


class ErrorCases(msgspec.Struct):
    cases: list[ErrorCase]


class GeneratorCase(msgspec.Struct):
    id: str
    conf: str
    raw_rand: list[int]
    stdout: list[str]
    task_generated: list[str]
    network_generated: list[str]
    netcommander_generated: list[str]


class GeneratorCases(msgspec.Struct):
    cases: list[GeneratorCase]


def cost_cases() -> list[CostCase]:
    return msgspec.json.decode((FOLDER / "cost_cases.json").read_bytes(), type=CostCases).cases


def error_cases() -> list[ErrorCase]:
    return msgspec.json.decode((FOLDER / "error_cases.json").read_bytes(), type=ErrorCases).cases


def generator_cases() -> list[GeneratorCase]:
    content = (FOLDER / "generator_cases.json").read_bytes()
    return msgspec.json.decode(content, type=GeneratorCases).cases


def config_text(case: CostCase) -> str:
    """Return a case's config as its file would be."""
    lines = []
    for name, section in case.config.items():
        rows = section if isinstance(section, list) else [section]
        lines += [f"*{name}", *map(row_text, rows), ""]
    return "\n".join(lines)


def row_text(row: "Fields | list[float] | float") -> str:
    if isinstance(row, dict):
        return " ".join(map(str, row.values()))
    return " ".join(map(str, row)) if isinstance(row, list) else str(row)


def agree(ours: float, theirs: object) -> bool:
    """Tell whether a finite number is ours to 1e-12, and one that is none is none here too."""
    recorded = float(str(theirs))
    if not math.isfinite(recorded):
        return not math.isfinite(ours)
    return math.isclose(ours, recorded, rel_tol=TOLERANCE)


@pytest.mark.parametrize("case", cost_cases(), ids=lambda case: case.id)
def test_costs_are_those_of_the_published_planner(case: CostCase) -> None:
    """Every number of every gene and task, to 1e-12; what was no number is none here."""
    config = parse_config(config_text(case), source=case.id)
    variant = Published(case.strategy.removesuffix("_local"))
    for genes, recorded in zip(case.genes, case.expected, strict=True):
        expected = msgspec.convert(recorded, Expected)
        cost = evaluate(
            config, [gene_of(each) for each in genes], variant, offloads=bool(case.real_offloading)
        )
        assert cost.memory_fits == expected.memusage_ok
        assert cost.accepted == expected.accepted
        assert cost.late == expected.period_violation
        for ours, theirs in WHOLE.items():
            assert agree(getattr(cost, ours), recorded[theirs]), (ours, case.id)
        for task, fields in zip(cost.tasks, expected.tasks, strict=True):
            for ours, theirs in EACH.items():
                assert agree(getattr(task, ours), fields[theirs]), (ours, case.id)


def gene_of(indices: dict[str, int]) -> Gene:
    return Gene(
        memory_index=indices["mem"],
        frequency_index=indices["cpufreq"],
        server_index=indices["cloud"],
        ratio_index=indices["offload"],
    )


@pytest.mark.parametrize("case", generator_cases(), ids=lambda case: case.id)
def test_what_is_drawn_is_what_the_published_generator_draws(case: GeneratorCase) -> None:
    """The same raw numbers give the same three files and the same utilisation."""
    drawn = draw_published(parse_config(case.conf, source=case.id), iter(case.raw_rand))
    assert drawn.task_text.splitlines() == case.task_generated
    assert drawn.link_text.splitlines() == case.network_generated
    assert drawn.interception_text.splitlines() == case.netcommander_generated
    assert case.stdout == [f"full power utilization: {drawn.utilisation:.6f}"]


LINES = {
    "wcet_ge_period": 27,
    "wcet_scale_above_1": 5,
    "cpufreq_not_decreasing": 6,
    "unknown_section": 30,
    "ratio_above_1": 16,
    "six_cpufreqs": 10,
}
"""Of the configs that the published planner refuses to load; the last of its refusals, a level too
slow for one task, is only an option the corrected model leaves out."""


@pytest.mark.parametrize("case", error_cases(), ids=lambda case: case.id)
def test_what_the_published_planner_refuses_is_refused_by_line(case: ErrorCase) -> None:
    """The line is named; what it refuses for no good reason is read."""
    line = LINES.get(case.id)
    if line is None:
        config = parse_config(case.conf, source="gastask.conf")
        assert len(config.task) == 2
        return
    with pytest.raises(UsageError, match=rf"gastask\.conf, line {line}\b"):
        parse_config(case.conf, source="gastask.conf")


def test_the_kinds_of_rows_are_those_of_the_config() -> None:
    """Each section of a config can be filled from text."""
    names = set(ReferenceConfig.__struct_fields__)
    sections = {name for case in cost_cases() for name in case.config}
    assert sections <= names
    drawn = chain.from_iterable(case.conf.splitlines() for case in generator_cases())
    assert {line[1:] for line in drawn if line.startswith("*")} <= names
