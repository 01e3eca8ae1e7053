"""``plan pareto``: what a kilowatt-hour less costs."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mutualedge.app.planning.patience import waiting
from mutualedge.app.planning.scenarios import read_scenario
from mutualedge.app.terminal import tell
from mutualedge.plan.comparing import Compromise, compromises
from mutualedge.plan.strategies import Strategy

EXIT_IMPOSSIBLE = 3


def pareto_file(path: Path, strategy: str, *, limit_s: float, as_json: bool) -> int:
    """Tell the plans between the cheapest and the most frugal: 0, or 3 if there is no plan.

    Raises:
        UsageError: The scenario cannot be read.
    """
    scenario = read_scenario(path)
    with waiting(limit_s) as patience:
        found = compromises(scenario, Strategy(strategy), watch=patience)
    if as_json:
        tell(msgspec.json.encode({"plans": found}).decode(), is_data=True)
    else:
        tell("\n".join(_text(found)))
    return 0 if found else EXIT_IMPOSSIBLE


def _text(found: Sequence[Compromise]) -> Iterator[str]:
    if not found:
        yield "No plan was found; 'mutualedge plan solve' says what is in the way."
        return
    yield "No plan found draws less for the same money, or costs less for the same energy:"
    yield f"{'kWh a month':>12}{'USD a month':>14}{'USD a kWh less':>17}"
    dearer = [*found, None][1:]
    for each, after in zip(found, dearer, strict=True):
        yield f"{each.energy_kwh_month:>12.2f}{each.usd_month:>14.3f}{_price(each, after):>17}"


def _price(frugal: Compromise, cheap: Compromise | None) -> str:
    """Return what each kilowatt-hour costs that the next cheaper plan draws more."""
    if cheap is None:
        return "cheapest"
    spared = cheap.energy_kwh_month - frugal.energy_kwh_month
    return f"{(frugal.usd_month - cheap.usd_month) / spared:.3f}"
