"""Run SimSo on task sets in an environment of its own: a JSON line in, a JSON line out.

In: ``{"horizon_us": …, "tasks": [[execution_us, period_us, deadline_us], …]}``. Out: processor
seconds of the simulation, jobs that completed, and jobs that were late.
"""

import json
import sys
from time import process_time

from simso.configuration import Configuration
from simso.core import Model

CYCLES_PER_MS = 1_000
"""One cycle is a microsecond."""


def main() -> None:
    """Answer every line until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        model = Model(_configuration(asked["horizon_us"], asked["tasks"]))
        begun_s = process_time()
        model.run_model()
        took_s = process_time() - begun_s
        jobs = [job for task in model.results.tasks.values() for job in task.jobs]
        done = [job for job in jobs if job.response_time is not None]
        late = sum(job.exceeded_deadline for job in done)
        print(json.dumps({"seconds": took_s, "completed": len(done), "late": late}), flush=True)


def _configuration(horizon_us: int, tasks: list[list[int]]) -> Configuration:
    configuration = Configuration()
    configuration.cycles_per_ms = CYCLES_PER_MS
    configuration.duration = horizon_us
    for index, (execution_us, period_us, deadline_us) in enumerate(tasks):
        configuration.add_task(
            name=f"T{index}",
            identifier=index,
            period=period_us / CYCLES_PER_MS,
            activation_date=0,
            wcet=execution_us / CYCLES_PER_MS,
            deadline=deadline_us / CYCLES_PER_MS,
        )
    configuration.add_processor(name="CPU", identifier=1)
    configuration.scheduler_info.clas = "simso.schedulers.EDF_mono"
    configuration.check_all()
    return configuration


if __name__ == "__main__":
    main()
