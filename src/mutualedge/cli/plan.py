"""``mutualedge plan``: who runs what, where, at which level, for how much."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mutualedge.app.terminal import tell

plan_app = typer.Typer(
    help="Plan who runs what, where, at which level, for how much.", no_args_is_help=True
)

ScenarioFile = Annotated[Path, typer.Argument(help="File of the scenario, TOML or JSON.")]
ConfigFile = Annotated[Path, typer.Argument(help="File of the published planner's config.")]
PlanFile = Annotated[Path, typer.Argument(help="Plan written by 'plan solve --out'.")]
Patience = Annotated[float, typer.Option(help="Seconds to search at most.", min=0)]
StrategyName = Annotated[
    Literal["private", "public", "hybrid", "mutual"],
    typer.Option(
        metavar="WHICH",
        help="Share how: private, public, hybrid or mutual.",
    ),
]
OutFile = Annotated[Path | None, typer.Option(help="New file for the plan, JSON.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@plan_app.callback()
def require_extra() -> None:
    """Refuse where the planner's libraries are not installed."""
    from mutualedge.app.planning import require_libraries

    require_libraries()


@plan_app.command()
def generate(
    scenario: Annotated[Path, typer.Argument(help="New file to write, JSON.")],
    *,
    kind: Annotated[
        Literal["published", "uunifast"], typer.Option(help="Distributions to draw from.")
    ] = "published",
    tasks: Annotated[int, typer.Option(help="Tasks of each enterprise.", min=1)] = 100,
    load: Annotated[float, typer.Option(help="Utilisation of each at full speed.")] = 0.5,
    enterprises: Annotated[int, typer.Option(help="How many, with a node each.", min=1)] = 1,
    memory_share: Annotated[
        float, typer.Option(help="Part of a node's memory that its tasks ask for.")
    ] = 0.8,
    deadline_ratio_min: Annotated[
        float, typer.Option(help="Shortest deadline as a share of its period.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Decides everything.", min=0)] = 0,
) -> None:
    """Invent a scenario: the same for the same seed, on every machine."""
    from mutualedge.app.planning.scenarios import Draw, generate_scenario

    draw = Draw(
        kind=kind,
        tasks=tasks,
        load=load,
        enterprises=enterprises,
        memory_share=memory_share,
        deadline_ratio_min=deadline_ratio_min,
        seed=seed,
    )
    tell(generate_scenario(draw, scenario))


@plan_app.command()
def solve(
    scenario: ScenarioFile,
    *,
    strategy: StrategyName = "mutual",
    time: Patience = 30.0,
    gap: Annotated[
        float, typer.Option(help="How far from the best a plan may cost, as a share.", min=0)
    ] = 1e-6,
    out: OutFile = None,
    as_json: AsJson = False,
) -> int:
    """Find the cheapest plan. Exit 0 here it is, 3 there is none, 2 not known in this time."""
    from mutualedge.app.planning.commands import solve_file

    return solve_file(scenario, strategy, limit_s=time, gap=gap, out=out, as_json=as_json)


@plan_app.command()
def evolve(
    scenario: ScenarioFile,
    *,
    strategy: StrategyName = "mutual",
    population: Annotated[int, typer.Option(help="Plans that live at once.", min=2)] = 2_048,
    children: Annotated[int, typer.Option(help="Plans bred in all.", min=1)] = 2_000_000,
    seed: Annotated[int, typer.Option(help="Decides everything.", min=0)] = 0,
    time: Patience = 60.0,
    convergence: Annotated[
        Path | None, typer.Option(help="New file for how it converged, as report.txt.")
    ] = None,
    out: OutFile = None,
    as_json: AsJson = False,
) -> int:
    """Find a plan by a genetic algorithm, to compare with 'solve'. Exit status as there."""
    from mutualedge.app.planning.commands import Settings, evolve_file

    return evolve_file(
        scenario,
        strategy,
        Settings(population=population, children=children, seed=seed),
        limit_s=time,
        convergence=convergence,
        out=out,
        as_json=as_json,
    )


@plan_app.command()
def check(scenario: ScenarioFile, plan: PlanFile, *, as_json: AsJson = False) -> int:
    """Re-check a plan against its scenario, from nothing. Exit 0 it holds, 1 it does not."""
    from mutualedge.app.planning.commands import check_files

    return check_files(scenario, plan, as_json=as_json)


@plan_app.command()
def simulate(
    scenario: ScenarioFile,
    plan: PlanFile,
    *,
    horizon_ms: Annotated[float, typer.Option(help="Milliseconds to simulate.")] = 600_000.0,
    preemptive: Annotated[bool, typer.Option(help="Whether a job may be interrupted.")] = True,
    node: Annotated[str | None, typer.Option(help="Simulate this node alone.")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="New file for the trace, which Chrome and Perfetto show.")
    ] = None,
    gantt: Annotated[Path | None, typer.Option(help="New file for the figure, SVG.")] = None,
    as_json: AsJson = False,
) -> int:
    """Replay a plan under EDF, job by job. Exit 0 every deadline is met, 1 some are not."""
    from mutualedge.app.planning.commands import simulate_files

    return simulate_files(
        scenario,
        plan,
        horizon_ms=horizon_ms,
        is_preemptive=preemptive,
        node=node,
        trace=trace,
        gantt=gantt,
        as_json=as_json,
    )


@plan_app.command()
def coalition(
    profiles: Annotated[
        Path, typer.Argument(help="CSV file with a time column, then one a member.")
    ],
    *,
    members: Annotated[int, typer.Option("--size", help="Members of each coalition, 2 to 8.")] = 2,
    choose_on: Annotated[
        float, typer.Option(help="Part of the times to choose on; the rest judges.")
    ] = 0.5,
    usd_month: Annotated[
        float, typer.Option(help="What a unit of the loads costs to own, USD a month.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Tell who should share capacity with whom, what that saves, and whether it lasts."""
    from mutualedge.app.planning.coalitions import propose_text

    told = propose_text(profiles, members, choose_on, usd_month, as_json=as_json)
    tell(told, is_data=as_json)


@plan_app.command()
def compare(
    scenario: ScenarioFile,
    *,
    profiles: Annotated[
        Path | None, typer.Option(help="CSV file of loads: a time column, one an enterprise.")
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(help="Names of built-in shapes instead, one an enterprise, with commas."),
    ] = None,
    load: Annotated[float, typer.Option(help="Utilisation at the peak of a shape.")] = 1.0,
    time: Patience = 300.0,
    as_json: AsJson = False,
) -> None:
    """Compare Private, Public, Hybrid and Mutual over a day or a year, in money a month."""
    from mutualedge.app.planning import comparing

    told = comparing.compare_files(
        scenario, profiles=profiles, shapes=shapes, load=load, limit_s=time
    )
    text = comparing.comparison_json(told) if as_json else comparing.compare_text(told)
    tell(text, is_data=as_json)
    if not as_json:
        tell(comparing.prices_text(scenario))


@plan_app.command()
def sweep(
    scenario: ScenarioFile,
    *,
    first: Annotated[float, typer.Option(help="Lightest load: utilisation at full speed.")] = 0.1,
    last: Annotated[float, typer.Option(help="Heaviest load.")] = 1.5,
    step: Annotated[float, typer.Option(help="Step between loads.")] = 0.1,
    time: Patience = 300.0,
    as_json: AsJson = False,
) -> None:
    """Compare the strategies at rising loads, the same for every enterprise."""
    from mutualedge.app.planning import comparing

    told = comparing.sweep_file(scenario, first=first, last=last, step=step, limit_s=time)
    text = comparing.comparison_json(told) if as_json else comparing.sweep_text(told)
    tell(text, is_data=as_json)
    if not as_json:
        tell(comparing.prices_text(scenario))


@plan_app.command()
def pareto(
    scenario: ScenarioFile,
    *,
    strategy: StrategyName = "mutual",
    time: Patience = 60.0,
    as_json: AsJson = False,
) -> int:
    """Trade energy against money: the plans between the most frugal and the cheapest."""
    from mutualedge.app.planning.frontier import pareto_file

    return pareto_file(scenario, strategy, limit_s=time, as_json=as_json)


@plan_app.command()
def admit(
    scenario: ScenarioFile,
    plan: PlanFile,
    *,
    node: Annotated[str, typer.Option(help="Name of the node that would run it.")],
    wcet_ms: Annotated[float, typer.Option(help="Milliseconds a job takes at speed 1 at most.")],
    period_ms: Annotated[float, typer.Option(help="Milliseconds between two jobs at least.")],
    deadline_ms: Annotated[
        float | None, typer.Option(help="Milliseconds from release to end; else the period.")
    ] = None,
    preemptive: Annotated[bool, typer.Option(help="Whether a job may be interrupted.")] = True,
    as_json: AsJson = False,
) -> int:
    """Tell whether a node takes one more task beside a plan. Exit 0 it does, 3 it does not."""
    from mutualedge.app.planning.admitting import WantedTask, admit_files

    task = WantedTask(wcet_ms=wcet_ms, period_ms=period_ms, deadline_ms=deadline_ms or period_ms)
    return admit_files(scenario, plan, node, task, is_preemptive=preemptive, as_json=as_json)


@plan_app.command()
def report(
    scenario: ScenarioFile,
    *,
    html: Annotated[Path, typer.Option(help="New file for the page.")],
    shapes: Annotated[
        str, typer.Option(help="Names of built-in shapes, one an enterprise, with commas.")
    ],
    load: Annotated[float, typer.Option(help="Utilisation at the peak of a shape.")] = 1.0,
    time: Patience = 600.0,
) -> None:
    """Write a page with the figures of a scenario, whole in one file."""
    from mutualedge.app.planning import require_libraries

    require_libraries("matplotlib")
    from mutualedge.app.planning.report import report_file

    tell(report_file(scenario, html, shapes=shapes, load=load, limit_s=time))


@plan_app.command("import")
def import_config(
    config: ConfigFile,
    scenario: Annotated[Path, typer.Argument(help="New file for the scenario, JSON.")],
) -> None:
    """Turn a config of the published planner into a scenario."""
    from mutualedge.app.planning.published import import_file

    tell(import_file(config, scenario))


@plan_app.command()
def export(
    scenario: ScenarioFile,
    plan: PlanFile,
    tasks: Annotated[Path, typer.Argument(help="New file for the plan, as task.txt.")],
) -> None:
    """Turn a plan into the published planner's task.txt."""
    from mutualedge.app.planning.published import export_files

    tell(export_files(scenario, plan, tasks))


@plan_app.command()
def reference(
    config: ConfigFile,
    *,
    genes: Annotated[Path, typer.Option(help="Plan as task.txt.")],
    strategy: Annotated[
        Literal["mutual", "private", "public"],
        typer.Option(metavar="WHICH", help="Which published variant: mutual, private, public."),
    ] = "mutual",
    offloads: Annotated[
        bool | None,
        typer.Option(
            "--offloads/--stays", help="Whether times and powers are those of offloading."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a plan with the published model, its quirks and all."""
    from mutualedge.app.planning.published import reference_text

    told = reference_text(config, genes, strategy, offloads=offloads, as_json=as_json)
    tell(told, is_data=as_json)


@plan_app.command()
def policies(
    config: ConfigFile,
    *,
    genes: Annotated[Path | None, typer.Option(help="Plan as task.txt, for 'fixed'.")] = None,
    horizon_ms: Annotated[float, typer.Option(help="Milliseconds to simulate.")] = 1_000_000.0,
    as_json: AsJson = False,
) -> int:
    """Execute a config under rules of thumb: dram, hm, dvsdram, dvshm, dvshm_gr, fixed."""
    from mutualedge.app.planning.policies import run_policies

    return run_policies(config, genes, horizon_ms=horizon_ms, as_json=as_json)


@plan_app.command()
def draw(
    config: ConfigFile,
    folder: Annotated[Path, typer.Argument(help="Folder for the three files it writes.")],
    *,
    seed: Annotated[int, typer.Option(help="Decides everything.", min=0)] = 0,
) -> None:
    """Draw tasks, links and interceptions as the published generator does."""
    from mutualedge.app.planning.published import draw_files

    tell(draw_files(config, folder, seed))
