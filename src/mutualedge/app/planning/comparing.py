"""``plan compare`` and ``plan sweep``: strategies side by side, over time or over load."""

from collections.abc import Iterator, Sequence
from math import floor
from pathlib import Path

import msgspec

from mutualedge.app.planning.coalitions import read_profiles
from mutualedge.app.planning.patience import waiting
from mutualedge.app.planning.scenarios import read_scenario
from mutualedge.errors import UsageError
from mutualedge.plan.comparing import (
    Comparison,
    Planned,
    Slot,
    Total,
    compare,
    known_shape,
    shape_names,
)
from mutualedge.plan.scenario import Scenario

LOADS_MAX = 200
MICROCREDITS_PER_CREDIT = 1_000_000


def compare_files(
    path: Path,
    *,
    profiles: Path | None,
    shapes: str | None,
    load: float,
    limit_s: float,
) -> Comparison:
    """Return what each strategy costs over the slots of a day, a year or a file.

    Args:
        path: The scenario.
        profiles: CSV with a column of loads for each enterprise.
        shapes: Names of built-in shapes instead, with commas, one for each enterprise.
        load: What a shape's peak stands for: utilisation at full speed.
        limit_s: How long to search.

    Raises:
        UsageError: A file cannot be read, names other enterprises, or a shape is not known.
    """
    scenario = read_scenario(path)
    if (profiles is None) == (shapes is None):
        sentence = "Say when which enterprise is busy: either --profiles FILE or --shapes NAMES."
        raise UsageError("app.compare.when", sentence)
    if profiles is not None:
        slots = _measured(scenario, profiles)
    else:
        slots = shaped_slots(scenario, (shapes or "").split(","), load)
    with waiting(limit_s) as patience:
        return compare(scenario, slots, watch=patience)


def sweep_file(path: Path, *, first: float, last: float, step: float, limit_s: float) -> Comparison:
    """Return what each strategy costs at loads from one to another, the same for everybody.

    Raises:
        UsageError: The scenario cannot be read, or these are no loads.
    """
    scenario = read_scenario(path)
    count = floor((last - first) / step + 1e-9) + 1 if step > 0 else 0
    if not (0 < first <= last and 1 <= count <= LOADS_MAX):
        sentence = (
            f"From {first:g} to {last:g} by {step:g} are no loads; name at most {LOADS_MAX}, from "
            "above 0, such as --first 0.05 --last 1.5 --step 0.05."
        )
        raise UsageError("app.sweep.loads", sentence)
    loads = [round(first + index * step, 6) for index in range(count)]
    names = [each.name for each in scenario.enterprises]
    slots = [Slot(name=f"{load:g}", loads=dict.fromkeys(names, load)) for load in loads]
    with waiting(limit_s) as patience:
        return compare(scenario, slots, watch=patience)


def comparison_json(told: Comparison) -> str:
    """Return a comparison as one JSON object."""
    return msgspec.json.encode(told).decode()


def compare_text(told: Comparison) -> str:
    """Return strategies over all slots, and each enterprise's part, for a person."""
    return "\n".join((*_totals(told.totals), "", *_parts(told.totals)))


def prices_text(path: Path) -> str:
    """Return at which prices strategies were compared: which one pays depends on them.

    Raises:
        UsageError: The scenario cannot be read.
    """
    scenario = read_scenario(path)
    nodes = {node.hardware_usd for owner in scenario.enterprises for node in owner.nodes}
    rents = {each.rent_usd_month for each in scenario.clouds}
    told = [f"a kilowatt-hour {scenario.tariff.usd_per_kwh:g} USD"]
    told += [f"a node {each:,.0f} USD" for each in sorted(nodes)]
    told += [f"a rented server {each:.2f} USD a month" for each in sorted(rents)]
    return f"At the prices of {path}: {', '.join(told)}. Which strategy pays depends on them."


def sweep_text(told: Comparison) -> str:
    """Return a row for each load and a column for each strategy, for a person."""
    strategies = [total.strategy for total in told.totals]
    lines = ["USD a month", f"{'load':<8}" + "".join(f"{each:>14}" for each in strategies)]
    rows: dict[str, dict[str, Planned]] = {}
    for row in told.slots:
        rows.setdefault(row.slot, {})[row.strategy] = row
    for name, planned in rows.items():
        lines.append(f"{name:<8}" + "".join(f"{_money(planned[each]):>14}" for each in strategies))
    return "\n".join(lines)


def _money(row: Planned | Total) -> str:
    return "no plan" if row.usd_month is None else f"{row.usd_month:.2f}"


def _totals(totals: Sequence[Total]) -> Iterator[str]:
    yield f"{'strategy':<10}{'USD a month':>12}  {'nodes owned':<12}why not"
    for total in totals:
        owned = f"x{total.copies}" if total.strategy != "public" else "none"
        yield f"{total.strategy:<10}{_money(total):>12}  {owned:<12}{total.reason}".rstrip()


def _parts(totals: Sequence[Total]) -> Iterator[str]:
    columns = ("cpu", "memory", "network", "base", "hardware", "rent")
    head = "".join(f"{name:>9}" for name in columns)
    yield f"{'enterprise':<12}{'strategy':<10}{head}{'credits':>11}"
    for name in dict.fromkeys(each for total in totals for each in total.enterprises):
        for total in totals:
            if (share := total.enterprises.get(name)) is not None:
                money = "".join(f"{usd:>9.3f}" for usd in msgspec.structs.astuple(share.cost))
                earned = share.mileage_microcredits_month / MICROCREDITS_PER_CREDIT
                yield f"{name:<12}{total.strategy:<10}{money}{earned:>11,.0f}"


def _measured(scenario: Scenario, path: Path) -> list[Slot]:
    profiles = read_profiles(path)
    names = {each.name for each in scenario.enterprises}
    if missing := names - set(profiles.members):
        sentence = (
            f"{path} has no column for {', '.join(sorted(missing))}; give each enterprise of the "
            "scenario a column of its utilisation at full speed."
        )
        raise UsageError("app.compare.members", sentence)
    return [
        Slot(
            name=time,
            loads={
                name: float(load)
                for name, load in zip(profiles.members, loads, strict=True)
                if name in names
            },
        )
        for time, loads in zip(profiles.times, profiles.loads.T, strict=True)
    ]


def shaped_slots(scenario: Scenario, names: Sequence[str], load: float) -> list[Slot]:
    """Return the slots of built-in shapes, one for each enterprise, with this load at their peaks.

    Raises:
        UsageError: There are more or fewer shapes than enterprises, one is not known, or they are
            partly of a day and partly of a year.
    """
    if len(names) != len(scenario.enterprises):
        sentence = (
            f"There are {len(scenario.enterprises)} enterprises, but {len(names)} shapes; name one "
            f"for each, with commas: {', '.join(shape_names())}."
        )
        raise UsageError("app.compare.shapes", sentence)
    shapes = [_shape(name) for name in names]
    if len({len(shape) for shape in shapes}) > 1:
        sentence = "Shapes of a day and of a year cannot be compared; name shapes of one of them."
        raise UsageError("app.compare.shapes", sentence)
    return [
        Slot(
            name=f"{index:02d}",
            loads={
                each.name: load * value
                for each, value in zip(scenario.enterprises, values, strict=True)
            },
        )
        for index, values in enumerate(zip(*shapes, strict=True))
    ]


def _shape(name: str) -> tuple[float, ...]:
    shape = known_shape(name.strip())
    if shape is None:
        sentence = f"'{name}' is no shape; there are {', '.join(shape_names())}."
        raise UsageError("app.compare.shape", sentence)
    return shape
