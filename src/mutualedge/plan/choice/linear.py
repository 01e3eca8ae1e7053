"""The linear programs behind the prices, and the integer ones behind the proofs: HiGHS.

The only module that imports ``highspy``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import highspy
import numpy as np
from highspy.highs import HighsCallbackEvent
from numpy.typing import NDArray

from mutualedge.plan.choice.problem import Floats, Watch

FAR = 1e30
TOLERANCE = 1e-9
"""By how much HiGHS may overdraw a row of size 1; its own 1e-6 is more than the planner allows."""

TIME_S_MAX = 1e6

Indices = NDArray[np.int32]


def quiet_highs() -> highspy.Highs:
    """Return a HiGHS that prints nothing and uses one thread."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]  # everything else of it is typed
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    return highs


class LineProgram:
    """Maximises the lowest of planes above a concave function; planes are added one by one."""

    def __init__(self, dimensions: int) -> None:
        """Begin without planes; every coordinate is at least 0."""
        self._dimensions = dimensions
        self._highs = quiet_highs()
        for _ in range(dimensions):
            self._highs.addVar(0.0, FAR)
        self._highs.addVar(-FAR, FAR)
        self._highs.changeColCost(dimensions, -1.0)
        self._columns = np.arange(dimensions + 1, dtype=np.int32)

    def cut(self, at: Floats, value: float, slope: Floats) -> None:
        """Add the plane that touches the function at a point."""
        coefficients = np.append(-slope, 1.0)
        limit = value - float(slope @ at)
        self._highs.addRow(-FAR, limit, self._dimensions + 1, self._columns, coefficients)

    def best_within(self, low: Floats, high: Floats) -> tuple[Floats, float]:
        """Return the highest point below all planes within a box, and its height."""
        for column in range(self._dimensions):
            self._highs.changeColBounds(column, max(float(low[column]), 0.0), float(high[column]))
        self._highs.run()
        values = np.array(self._highs.getSolution().col_value)
        return values[:-1], float(values[-1])


class SharedProgram:
    """Maximises a sum of concave functions below planes, which have some coordinates together.

    Points hold the shared coordinates first, then each function's own in turn; all at least 0.
    """

    def __init__(self, shared: int, own: Sequence[int]) -> None:
        """Begin without planes."""
        starts = np.cumsum([shared, *own])
        self._size = int(starts[-1])
        self._highs = quiet_highs()
        for _ in range(self._size):
            self._highs.addVar(0.0, FAR)
        together = np.arange(shared, dtype=np.int32)
        self._columns = []
        for number, (start, size) in enumerate(zip(starts, own, strict=False)):
            height = self._size + number
            self._highs.addVar(-FAR, FAR)
            self._highs.changeColCost(height, -1.0)
            mine = np.arange(start, start + size, dtype=np.int32)
            self._columns.append(np.concatenate([together, mine, np.array([height], np.int32)]))

    def cut(self, function: int, at: Floats, value: float, slope: Floats) -> None:
        """Add the plane that touches one function; its shared coordinates first, then its own."""
        columns = self._columns[function]
        coefficients = np.append(-slope, 1.0)
        self._highs.addRow(-FAR, value - float(slope @ at), len(columns), columns, coefficients)

    def best_within(self, low: Floats, high: Floats) -> tuple[Floats, float]:
        """Return the point that is best below all planes within a box, and the sum there."""
        every = np.arange(self._size, dtype=np.int32)
        self._highs.changeColsBounds(self._size, every, np.maximum(low, 0.0), high)
        self._highs.run()
        values = np.array(self._highs.getSolution().col_value)
        return values[: self._size], float(values[self._size :].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Choose one candidate of every group: the integer program, an element per candidate.

    Attributes:
        groups: The group of each, from 0, in ascending order.
        cost: Of each.
        use: What each takes of each row, shape (rows, candidates).
        capacity: What each row has.
    """

    groups: Indices
    cost: Floats
    use: Floats
    capacity: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What the integer program found.

    Attributes:
        candidates: The chosen one of every group; None if none was found.
        bound: Nothing costs less; infinite if nothing holds.
    """

    candidates: NDArray[np.intp] | None
    bound: float


def select(asked: Selection, *, gap: float, watch: Watch) -> Selected:
    """Return the cheapest selection that holds, as well as the time allows.

    Args:
        asked: The program.
        gap: How far from the best it may be, in units of the cost.
        watch: Stops it.
    """
    highs = quiet_highs()
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", max(gap, 0.0))
    highs.setOptionValue("mip_feasibility_tolerance", TOLERANCE)
    highs.setOptionValue("primal_feasibility_tolerance", TOLERANCE)
    highs.setOptionValue("time_limit", min(max(watch.left_s(), 0.0), TIME_S_MAX))
    highs.passModel(_model(asked, is_whole=True))
    highs.cbMipInterrupt.subscribe(_stopped_by(watch))
    highs.run()
    return _selected(highs, asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """The linear program: candidates may be taken in part.

    Attributes:
        shares: Of each candidate, how much of it is taken; hardly any is taken in part.
        prices: Of each row: what the last unit of its capacity is worth.
    """

    shares: Floats
    prices: Floats


def relax(asked: Selection, watch: Watch) -> Relaxed | None:
    """Return the best selection in parts; None if there is none, or the time ran out.

    Args:
        asked: The program, its candidates taken in whole or in part.
        watch: Stops it.
    """
    highs = quiet_highs()
    highs.setOptionValue("time_limit", min(max(watch.left_s(), 0.0), TIME_S_MAX))
    highs.passModel(_model(asked, is_whole=False))
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    solution = highs.getSolution()
    dual = np.array(solution.row_dual)[-len(asked.capacity) :]
    # HiGHS's duals of upper limits are negative, and of the rows as they were scaled.
    prices: Floats = np.maximum(-dual, 0.0) * _scale(asked.capacity)
    return Relaxed(shares=np.array(solution.col_value), prices=prices)


def _stopped_by(watch: Watch) -> Callable[[HighsCallbackEvent], None]:
    def look(event: HighsCallbackEvent) -> None:
        if watch.left_s() <= 0:
            event.interrupt()

    return look


def _model(asked: Selection, *, is_whole: bool) -> highspy.HighsLp:
    rows, count = asked.use.shape
    groups = int(asked.groups[-1]) + 1
    scale = _scale(asked.capacity)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = count, groups + rows
    program.col_cost_ = asked.cost
    program.col_lower_, program.col_upper_ = np.zeros(count), np.ones(count)
    if is_whole:
        program.integrality_ = [highspy.HighsVarType.kInteger] * count
    program.row_lower_ = np.concatenate([np.ones(groups), np.full(rows, -FAR)])
    program.row_upper_ = np.concatenate([np.ones(groups), asked.capacity * scale])
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kColwise
    matrix.start_ = np.arange(count + 1, dtype=np.int32) * (rows + 1)
    below = np.broadcast_to(groups + np.arange(rows, dtype=np.int32)[:, None], (rows, count))
    matrix.index_ = np.concatenate([asked.groups[None], below]).T.ravel()
    matrix.value_ = np.concatenate([np.ones((1, count)), asked.use * scale[:, None]]).T.ravel()
    return program


def _scale(capacity: Floats) -> Floats:
    scale: Floats = 1 / np.maximum(np.abs(capacity), TOLERANCE)
    return scale


def _selected(highs: highspy.Highs, asked: Selection) -> Selected:
    if highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
        return Selected(candidates=None, bound=np.inf)
    info = highs.getInfo()
    bound = float(info.mip_dual_bound)
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return Selected(candidates=None, bound=bound)
    chosen = np.flatnonzero(np.array(highs.getSolution().col_value) > 1 / 2)
    if not np.array_equal(asked.groups[chosen], np.arange(int(asked.groups[-1]) + 1)):
        return Selected(candidates=None, bound=bound)
    return Selected(candidates=chosen, bound=bound)
