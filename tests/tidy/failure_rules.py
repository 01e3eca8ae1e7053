"""Failures reach someone who can act: none is swallowed, no cancellation is kept."""

import ast
from collections.abc import Iterator

from tests.tidy.reading import Module, Rule, in_each

BROAD = frozenset({"Exception", "BaseException"})
CANCELLATION = frozenset({"CancelledError", "BaseException"})
# Here a unit of work ends (a command, a request): a broad except may record instead of raising.
BOUNDARIES = frozenset({"adapters", "app", "cli", "console", "api", "sdk"})


def caught(handler: ast.ExceptHandler) -> set[str]:
    """Name what a handler catches; a bare except catches everything."""
    if handler.type is None:
        return {"BaseException"}
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(each).rpartition(".")[2] for each in types}


def raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def records(handler: ast.ExceptHandler) -> bool:
    """Tell whether the handler hands the error it caught to something."""
    return handler.name is not None and any(
        isinstance(node, ast.Name) and node.id == handler.name
        for call in ast.walk(handler)
        if isinstance(call, ast.Call)
        for node in ast.walk(call)
    )


def suppressions(module: Module) -> Iterator[tuple[int, set[str]]]:
    """Yield each `suppress(...)` with the names it silences."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
            yield node.lineno, {ast.unparse(each).rpartition(".")[2] for each in node.args}


def swallowed_failures(module: Module) -> Iterator[tuple[int, str]]:
    at_boundary = module.room in BOUNDARIES
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and caught(node) & BROAD:
            if raises(node) or (at_boundary and records(node)):
                continue
            yield node.lineno, "a broad except neither raises nor, at a boundary, records"
    for line, names in suppressions(module):
        if names & BROAD:
            yield line, "suppress() of everything"


def kept_cancellations(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and caught(node) & CANCELLATION and not raises(node):
            yield node.lineno, "a cancellation is caught and not raised again"
    for line, names in suppressions(module):
        if names & CANCELLATION:
            yield line, "suppress() of a cancellation; asyncio will not cancel again"


RULES = (
    Rule(
        name="failures are not swallowed",
        search=in_each(swallowed_failures),
        fault={
            "src/mutualedge/app/x.py": (
                "def read():\n    try:\n        return load()\n"
                "    except Exception:\n        return {}\n"
            )
        },
        mended={
            "src/mutualedge/adapters/x.py": (
                "def read():\n    try:\n        return load()\n    except OSError as error:\n"
                "        raise CorruptState('x.y', 'z') from error\n"
            ),
            "src/mutualedge/app/x.py": (
                "def run():\n    try:\n        serve()\n    except Exception as error:\n"
                "        record(error)\n"
            ),
        },
    ),
    Rule(
        name="cancellations are raised again",
        search=in_each(kept_cancellations),
        fault={
            "src/mutualedge/app/x.py": (
                "async def stop(task):\n"
                "    with suppress(asyncio.CancelledError):\n        await task\n"
            )
        },
        mended={
            "src/mutualedge/app/x.py": (
                "async def stop(task):\n    try:\n        await task\n"
                "    except asyncio.CancelledError:\n        close()\n        raise\n"
            )
        },
    ),
)
