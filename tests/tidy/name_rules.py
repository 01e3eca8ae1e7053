"""Names say what they hold: no empty words, a unit at the end, a docstring that adds something."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.reading import Module, Rule, functions, in_each, parameters

EMPTY_MODULES = frozenset(
    {
        "base",
        "common",
        "helper",
        "helpers",
        "manager",
        "managers",
        "misc",
        "stuff",
        "tools",
        "util",
        "utils",
    }
)
EMPTY_CLASS = re.compile(
    r"(Manager|Helper|Utils?|Impl|Wrapper|Enhanced|Improved|Legacy|V\d+)$"
    r"|^(Enhanced|Improved|Advanced|Legacy|New)(?=[A-Z])"
)
MEASURE = re.compile(
    r"(^|_)(timeout|deadline|duration|interval|period|latency|delay|elapsed|age|ttl|lateness|slack"
    r"|size|length|memory|bandwidth|amount|balance|price|cost|fee|credits?|budget|energy|power)$"
)
TREE_SIZE = re.compile(r"(^|_)size$")
LOG_ROOMS = frozenset({"tlog", "audit", "node", "protocol"})
"""Rooms that speak the log specifications, whose word for a tree's number of leaves is its size."""

SMALL_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "of",
        "to",
        "this",
        "that",
        "these",
        "and",
        "for",
        "in",
        "is",
        "it",
        "its",
        "from",
        "with",
        "by",
        "on",
        "or",
        "as",
        "be",
        "are",
        "at",
        "into",
        "method",
        "function",
        "class",
        "return",
        "returns",
        "given",
        "some",
        "all",
        "each",
        "object",
        "instance",
        "module",
        "value",
    }
)


def empty_names(module: Module) -> Iterator[tuple[int, str]]:
    for part in module.path.with_suffix("").parts:
        if part in EMPTY_MODULES:
            yield 1, f"the name {part!r} does not say what is inside"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and EMPTY_CLASS.search(node.name):
            yield node.lineno, f"the class name {node.name} ends or begins with an empty word"


def numbers_without_unit(module: Module) -> Iterator[tuple[int, str]]:
    """Find parameters and fields that hold a bare number and name a measure but no unit."""
    for function in functions(module.tree):
        for parameter in parameters(function):
            if lacks_unit(parameter.arg, module) and is_bare_number(parameter.annotation):
                yield parameter.lineno, f"{function.name}({parameter.arg}) has no unit"
    for node in (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)):
        for part in node.body:
            match part:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                    if lacks_unit(name, module) and is_bare_number(annotation):
                        yield part.lineno, f"{node.name}.{name} has no unit"


def lacks_unit(name: str, module: Module) -> bool:
    if module.room in LOG_ROOMS and TREE_SIZE.search(name):
        return False
    return MEASURE.search(name) is not None


def is_bare_number(annotation: ast.expr | None) -> bool:
    """Tell int and float, alone or optional, from a type that carries its unit."""
    return annotation is not None and any(
        isinstance(node, ast.Name) and node.id in {"int", "float"} for node in ast.walk(annotation)
    )


def echo_docstrings(module: Module) -> Iterator[tuple[int, str]]:
    """Find one-line docstrings that only say the name again."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text and "\n" not in text and not stems(text) - stems(node.name):
                yield node.lineno, f"the docstring of {node.name} only repeats its name"


def stems(text: str) -> set[str]:
    """Return the words of a text or name that carry meaning, without their endings."""
    words = (word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", text))
    return {re.sub(r"(ing|ed|es|s|er)$", "", word) for word in words if word not in SMALL_WORDS}


def packages_without_docstring(module: Module) -> Iterator[tuple[int, str]]:
    if module.path.name == "__init__.py" and not ast.get_docstring(module.tree):
        yield 1, "a package says in its docstring what lives there"


def packages_without_public_names(module: Module) -> Iterator[tuple[int, str]]:
    """Find rooms that export something without listing it."""
    if module.path.name != "__init__.py":
        return
    imports = any(isinstance(node, ast.ImportFrom) for node in module.tree.body)
    listed = any(
        isinstance(node, ast.Name) and node.id == "__all__" for node in ast.walk(module.tree)
    )
    if imports and not listed:
        yield 1, "public names are those that __all__ lists"


RULES = (
    Rule(
        name="no empty names",
        search=in_each(empty_names),
        fault={"src/mutualedge/plan/utils.py": "class LeaseManager: ...\n"},
        mended={"src/mutualedge/plan/leases.py": "class Leases: ...\n"},
    ),
    Rule(
        name="numbers carry their unit",
        search=in_each(numbers_without_unit),
        fault={
            "src/mutualedge/plan/x.py": (
                "def wait(timeout: float): ...\nclass Job:\n    deadline: int | None = None\n"
            )
        },
        mended={
            "src/mutualedge/plan/x.py": (
                "def wait(timeout_s: float, budget: Microcredits): ...\n"
                "class Job:\n    deadline_ns: int\n"
            )
        },
    ),
    Rule(
        name="docstrings add something to the name",
        search=in_each(echo_docstrings),
        fault={"src/mutualedge/plan/x.py": 'def parse_lease(text):\n    """Parse the lease."""\n'},
        mended={
            "src/mutualedge/plan/x.py": (
                'def parse_lease(text):\n    """Return a lease whose both signatures verify."""\n'
            )
        },
    ),
    Rule(
        name="packages have a docstring",
        search=in_each(packages_without_docstring),
        fault={"src/mutualedge/plan/__init__.py": "__all__ = []\n"},
        mended={"src/mutualedge/plan/__init__.py": '"""Who lends to whom."""\n'},
    ),
    Rule(
        name="packages list their public names",
        search=in_each(packages_without_public_names),
        fault={"src/mutualedge/plan/__init__.py": '"""X."""\nfrom mutualedge.plan.a import A\n'},
        mended={
            "src/mutualedge/plan/__init__.py": (
                '"""X."""\nfrom mutualedge.plan.a import A\n__all__ = ["A"]\n'
            )
        },
    ),
)
