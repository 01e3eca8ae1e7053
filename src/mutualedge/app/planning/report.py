"""``plan report``: one page with the figures of a scenario, whole in one file."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from mutualedge.adapters.figures import line_chart, stacked_bars
from mutualedge.app.planning.comparing import shaped_slots
from mutualedge.app.planning.patience import waiting
from mutualedge.app.planning.scenarios import read_scenario, write_new
from mutualedge.plan.choice import Watch
from mutualedge.plan.comparing import Comparison, Planned, Slot, compare, compromises
from mutualedge.plan.edf import gantt_svg, simulate
from mutualedge.plan.genetic import Evolver, Settings
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import list_jobs, solve
from mutualedge.plan.strategies import Strategy

LOADS = tuple(step / 10 for step in range(1, 16))
CHILDREN = 400_000
GANTT_JOBS_MAX = 60
"""Streams of a schedule that a figure can still show."""

GANTT_PERIODS = 3
SEGMENTS_MAX = 20_000

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1b}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2.2rem}"
    "svg{max-width:100%;height:auto}figcaption{color:#555}figure{margin:0;overflow-x:auto}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
)


def report_file(path: Path, out: Path, *, shapes: str, load: float, limit_s: float) -> str:
    """Write the page; return what was written, in words.

    Args:
        path: The scenario.
        out: New file for the page, HTML.
        shapes: Built-in shapes of load, with commas, one for each enterprise.
        load: What a shape's peak stands for.
        limit_s: How long to search in all.

    Raises:
        UsageError: The scenario cannot be read, a shape is not known, or the page not written.
    """
    scenario = read_scenario(path)
    slots = shaped_slots(scenario, shapes.split(","), load)
    with waiting(limit_s) as patience:
        page = _page(scenario, slots, patience)
    write_new(out, page.encode())
    return f"{out}: {len(page) // 1024} KiB, needs nothing else; open it in a browser."


def _page(scenario: Scenario, slots: Sequence[Slot], watch: Watch) -> str:
    day = compare(scenario, slots, watch=watch)
    names = [each.name for each in scenario.enterprises]
    rising = [Slot(name=f"{each:g}", loads=dict.fromkeys(names, each)) for each in LOADS]
    swept = compare(scenario, rising, watch=watch)
    figures = (
        *_money_figures(day, swept),
        *_time_figures(day),
        *_search_figures(scenario, watch),
    )
    body = "".join(_figure(title, picture, words) for title, picture, words in figures)
    title = escape(f"Plans for {scenario.name}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{title}</h1>{_table(day)}{body}</html>\n"
    )


def _money_figures(day: Comparison, swept: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield money by strategy: its parts over the day, and all of it at rising loads."""
    feasible = [total for total in day.totals if total.usd_month is not None]
    parts = {
        name.removesuffix("_usd_month"): [
            sum(getattr(share.cost, name) for share in total.enterprises.values())
            for total in feasible
        ]
        for name in Costs.__struct_fields__
    }
    bars = stacked_bars(
        [str(total.strategy) for total in feasible], parts, across="strategy", up="USD a month"
    )
    yield "Money by part", bars.decode(), "All enterprises together, over the loads of the turn."
    lines = {str(total.strategy): _rising(swept.slots, total.strategy) for total in swept.totals}
    chart = line_chart(lines, across="load of every enterprise", up="USD a month")
    words = "The same load for everybody; a line ends where there is no plan."
    yield "Money at rising loads", chart.decode(), words


def _rising(rows: Sequence[Planned], strategy: Strategy) -> tuple[list[float], list[float]]:
    told = [row for row in rows if row.strategy is strategy and row.usd_month is not None]
    return [float(row.slot) for row in told], [row.usd_month or 0.0 for row in told]


def _time_figures(day: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield what Mutual does over the turn: how full nodes are, and who lends to whom."""
    rows = [row for row in day.slots if row.strategy is Strategy.MUTUAL and row.feasible]
    slots = [row.slot for row in rows]
    times = [float(index) for index in range(len(rows))]
    nodes = dict.fromkeys(node for row in rows for node in row.utilisation)
    full = {node: (times, [row.utilisation.get(node, 0.0) for row in rows]) for node in nodes}
    chart = line_chart(full, across="slot", up="share of the processor")
    yield "How full the nodes are", chart.decode(), "Mutual, slot by slot; 1 is a whole processor."
    pairs = dict.fromkeys(pair for row in rows for pair in row.lent)
    lent = {pair.replace(">", " at "): [row.lent.get(pair, 0.0) for row in rows] for pair in pairs}
    if lent:
        bars = stacked_bars(slots, lent, across="slot", up="processors lent")
        yield "Who lends to whom", bars.decode(), "Share of a processor that one has at another's."


def _search_figures(scenario: Scenario, watch: Watch) -> Iterator[tuple[str, str, str]]:
    """Yield energy against money, how evolution converges, and a node's schedule."""
    found = compromises(scenario, Strategy.HYBRID, watch=watch)
    if found:
        energies = [each.energy_kwh_month for each in found]
        line = {"plans": (energies, [each.usd_month for each in found])}
        chart = line_chart(line, across="kWh a month", up="USD a month")
        words = "Hybrid plans, none of which is better in both; rented servers' energy is unknown."
        yield "Energy and money", chart.decode(), words
    evolver = Evolver(Settings(children=CHILDREN))
    solve(scenario, Strategy.HYBRID, watch=watch, chooser=evolver.choose)
    if evolver.convergence:
        numbers = [float(row.number) for row in evolver.convergence]
        scores = {
            "least": (numbers, [row.score.least for row in evolver.convergence]),
            "mean": (numbers, [row.score.mean for row in evolver.convergence]),
        }
        chart = line_chart(scores, across="generation", up="USD a month that choices change")
        yield "How evolution converges", chart.decode(), "Hybrid, penalties included."
    plan = solve(scenario, Strategy.MUTUAL, watch=watch)
    if isinstance(plan, Plan):
        yield from _schedule(scenario, plan)


def _schedule(scenario: Scenario, plan: Plan) -> Iterator[tuple[str, str, str]]:
    for jobs in list_jobs(scenario, plan):
        if len(jobs.names) <= GANTT_JOBS_MAX:
            horizon_us = GANTT_PERIODS * int(jobs.tasks.period_us.max())
            run = simulate(jobs.tasks, horizon_us, segments_max=SEGMENTS_MAX)
            if run.trace_complete:
                words = f"{jobs.node}, from the moment at which every task is due to begin."
                yield "A schedule", gantt_svg(jobs.tasks, run, names=jobs.names), words
                return


def _table(day: Comparison) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(total.strategy))}<td>{_money(total.usd_month)}"
        f"<td>{total.copies if total.strategy is not Strategy.PUBLIC else 0}"
        for total in day.totals
    )
    return f"<table><tr><th>strategy<th>USD a month<th>nodes of each kind{rows}</table>"


def _money(usd_month: float | None) -> str:
    return "no plan" if usd_month is None else f"{usd_month:,.2f}"


def _figure(title: str, picture: str, words: str) -> str:
    svg = picture[picture.index("<svg") :]
    return f"<h2>{escape(title)}</h2><figure>{svg}<figcaption>{escape(words)}</figcaption></figure>"
