"""Plans of the published planner as text: ``task.txt``, a row of four indices for each task."""

from collections.abc import Sequence

from mutualedge.errors import UsageError
from mutualedge.plan.reference.published import Gene

HEADER = "# mem_idx cpufreq_idx cloud_idx offloadingratio_idx"
COLUMNS = 4
COLUMNS_ANCESTOR = 2
"""The ancestor's plans know memory and level alone."""


def parse_genes(text: str, *, source: str) -> tuple[Gene, ...]:
    """Return the plan that a ``task.txt`` holds, of the published planner or of its ancestor.

    Args:
        text: The whole file; lines that begin with # are passed over.
        source: What to call it in errors.

    Raises:
        UsageError: A row has not two or four whole numbers; the sentence names the line.
    """
    return tuple(
        _gene(line.split(), number, source)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    )


def format_genes(genes: Sequence[Gene]) -> str:
    """Return a plan as ``task.txt``."""
    rows = (
        f"{each.memory_index} {each.frequency_index} {each.server_index} {each.ratio_index}"
        for each in genes
    )
    return "\n".join((HEADER, *rows)) + "\n"


def _gene(fields: list[str], number: int, source: str) -> Gene:
    if len(fields) not in {COLUMNS, COLUMNS_ANCESTOR} or not all(map(str.isdigit, fields)):
        sentence = (
            f"{source}, line {number}: '{' '.join(fields)}' is no row of a plan; there should be "
            "the whole numbers 'mem cpufreq cloud ratio', or the first two of them."
        )
        raise UsageError("plan.reference.gene", sentence)
    numbers = [int(field) for field in fields] + [0] * (COLUMNS - len(fields))
    return Gene(
        memory_index=numbers[0],
        frequency_index=numbers[1],
        server_index=numbers[2],
        ratio_index=numbers[3],
    )
