"""Run benchmarks: ``python -m benchmarks [CAPABILITY ...]``, all of them by default."""
import sys
from importlib import import_module
from benchmarks.lines import save
for name in sys.argv[1:]:
    metrics = import_module(f"benchmarks.{name}").run()
    save(name, metrics)
    for m in metrics: print(m)
