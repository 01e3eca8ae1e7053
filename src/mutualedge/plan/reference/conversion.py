"""From the published planner's config to a scenario, and from a plan back to its indices."""

from mutualedge.errors import UsageError
from mutualedge.plan.plans import Chosen, Plan
from mutualedge.plan.reference.config import ReferenceConfig
from mutualedge.plan.reference.published import Gene
from mutualedge.plan.scenario import Cloud, Enterprise, Level, Memory, Node, Scenario, Task

KB_PER_MB = 1_000
"""As the published model divides memory."""

OWNER = "plant"
NODE = "node"


def scenario_of(config: ReferenceConfig) -> Scenario:
    """Return what a config means in the corrected model.

    Powers of memory are taken per MB, as their numbers were meant; the processor idles as its
    slowest level does; servers are rented at the default rent, which the config cannot say. The
    flag at the end of a task, which nothing ever read, is passed over.

    Raises:
        UsageError: It has no levels, memories or tasks, or fewer links than tasks.
    """
    _require_sections(config)
    memories = tuple(
        Memory(
            name=row.name,
            capacity_mb=row.capacity_kb / KB_PER_MB,
            scale=row.scale,
            active_w_per_mb=row.active_w_per_kb,
            idle_w_per_mb=row.idle_w_per_kb,
        )
        for row in config.mem
    )
    node = Node(
        name=NODE,
        levels=tuple(Level(scale=row.scale, active_w=row.active_w) for row in config.cpufreq),
        memories=memories,
        idle_w=config.cpufreq[-1].idle_w,
    )
    tasks = tuple(_task(config, index) for index in range(len(config.task)))
    return Scenario(
        name="imported",
        enterprises=(Enterprise(name=OWNER, nodes=(node,), tasks=tasks),),
        clouds=tuple(Cloud(name=row.name, speed=row.speed) for row in config.cloud),
    )


def genes_of(scenario: Scenario, plan: Plan) -> tuple[Gene, ...]:
    """Return a plan as the published planner's indices, in the order of the scenario's tasks.

    Raises:
        UsageError: The scenario has several nodes, which those indices cannot tell apart, or the
            plan leaves a task out.
    """
    nodes = scenario.nodes
    if len(nodes) != 1:
        sentence = (
            f"The scenario has {len(nodes)} nodes; the published format knows exactly one of them, "
            "and servers to rent."
        )
        raise UsageError("plan.reference.nodes", sentence)
    chosen = {(each.enterprise, each.task): each for each in plan.choices}
    names = [(owner.name, task.name) for owner in scenario.enterprises for task in owner.tasks]
    for owner, task in names:
        if (owner, task) not in chosen:
            sentence = f"The plan does not say where {owner}/{task} runs; solve this scenario."
            raise UsageError("plan.reference.plan", sentence)
    return tuple(_gene(scenario, nodes[0][1], chosen[name]) for name in names)


def _gene(scenario: Scenario, node: Node, chosen: Chosen) -> Gene:
    if chosen.place == node.name:
        memories = [memory.name for memory in node.memories]
        memory = memories.index(chosen.memory or memories[0])
        return Gene(
            memory_index=memory, frequency_index=chosen.level or 0, server_index=0, ratio_index=0
        )
    servers = [cloud.name for cloud in scenario.clouds]
    return Gene(
        memory_index=0, frequency_index=0, server_index=servers.index(chosen.place), ratio_index=1
    )


def _task(config: ReferenceConfig, index: int) -> Task:
    row, link, held = config.task[index], config.network[index], config.netcommander[index]
    return Task(
        name=f"t{index + 1}",
        wcet_ms=row.wcet_ms,
        period_ms=row.period_ms,
        memory_mb=row.memory_kb / KB_PER_MB,
        active_ratio=row.active_ratio,
        code_kb=row.code_kb,
        input_kb=row.input_kb,
        output_kb=row.output_kb,
        send_ms=held.out_ms,
        receive_ms=held.in_ms,
        uplink_mbit=link.uplink_mbit,
        downlink_mbit=link.downlink_mbit,
    )


def _require_sections(config: ReferenceConfig) -> None:
    counts = {
        "cpufreq": len(config.cpufreq),
        "mem": len(config.mem),
        "task": len(config.task),
    }
    for name, count in counts.items():
        if not count:
            sentence = f"The config has no *{name} section, which a scenario needs."
            raise UsageError("plan.reference.sections", sentence)
    for name, rows in (("network", config.network), ("netcommander", config.netcommander)):
        if len(rows) < len(config.task):
            sentence = f"There are {len(config.task)} tasks, but {len(rows)} rows of *{name}."
            raise UsageError("plan.reference.rows", sentence)
