"""No layer without a purpose, no file or function beyond what a reader holds in the head."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence

from tests.tidy.reading import (
    Finding,
    Function,
    Module,
    Rule,
    body_without_docstring,
    functions,
    in_each,
    last_name,
    parameters,
)

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
"""Without its docstring; past this, split straight-line work into pure functions."""

IMPLEMENTATIONS_MIN = 2
"""The product's and the simulator's; with fewer there is nothing to abstract from."""


def long_modules(module: Module) -> Iterator[tuple[int, str]]:
    count = len(module.text.splitlines())
    if count > MODULE_LINES_MAX:
        yield 1, f"{count} lines, {MODULE_LINES_MAX} are the ceiling"


def long_functions(module: Module) -> Iterator[tuple[int, str]]:
    for function in functions(module.tree):
        body = body_without_docstring(function)
        count = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if count > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {count} lines"


def forwarding_functions(module: Module) -> Iterator[tuple[int, str]]:
    """Find functions whose whole body hands their own parameters on, in order, unchanged."""
    imported = imported_names(module.tree)
    for function in functions(module.tree):
        call = only_call(function)
        names = [parameter.arg for parameter in parameters(function)]
        if call is None or not names or function.decorator_list:
            continue
        passed = [ast.unparse(argument) for argument in call.args]
        passed += [ast.unparse(keyword.value) for keyword in call.keywords]
        if passed == names and to_a_plain_function(call.func, imported):
            yield function.lineno, f"{function.name} only forwards to {ast.unparse(call.func)}"


def only_call(function: Function) -> ast.Call | None:
    match body_without_docstring(function):
        case [ast.Return(value=ast.Call() as call) | ast.Expr(value=ast.Call() as call)]:
            return call
        case [
            ast.Return(value=ast.Await(value=ast.Call() as call))
            | ast.Expr(value=ast.Await(value=ast.Call() as call))
        ]:
            return call
        case _:
            return None


def imported_names(tree: ast.Module) -> set[str]:
    """Return what this module calls the modules and names it imports."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def to_a_plain_function(called: ast.expr, imported: set[str]) -> bool:
    """Tell a function from a constructor (which gives values a type) and from a part's method."""
    match called:
        case ast.Name(id=name):
            return name[:1].islower()
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner in imported and name[:1].islower()
        case _:
            return False


def classes_of(modules: Sequence[Module]) -> list[tuple[Module, ast.ClassDef]]:
    return [
        (module, node)
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]


def lonely_ports(modules: Sequence[Module]) -> Iterator[Finding]:
    """Find protocols of the source whose methods fewer than two classes offer."""
    classes = classes_of(modules)
    offers = [offered_methods(node) for _, node in classes if not is_port(node)]
    for module, node in classes:
        asked = offered_methods(node)
        if module.is_test or not is_port(node) or not asked or asked == {"__call__"}:
            continue
        count = sum(asked <= offer for offer in offers)
        if count < IMPLEMENTATIONS_MIN:
            message = f"port {node.name} has {count} implementation(s) in src and tests"
            yield Finding(path=module.path, line=node.lineno, message=message)


def lonely_bases(modules: Sequence[Module]) -> Iterator[Finding]:
    """Find abstract bases of the source that fewer than two classes extend."""
    classes = classes_of(modules)
    children = Counter(last_name(base) for _, node in classes for base in node.bases)
    for module, node in classes:
        if module.is_test or not is_abstract(node):
            continue
        if children[node.name] < IMPLEMENTATIONS_MIN:
            message = f"base {node.name} has {children[node.name]} subclass(es)"
            yield Finding(path=module.path, line=node.lineno, message=message)


def is_port(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) in {"Protocol", "typing.Protocol"} for base in node.bases)


def is_abstract(node: ast.ClassDef) -> bool:
    metaclasses = {last_name(keyword.value) for keyword in node.keywords}
    return "ABCMeta" in metaclasses or any(last_name(base) == "ABC" for base in node.bases)


def offered_methods(node: ast.ClassDef) -> set[str]:
    return {part.name for part in node.body if isinstance(part, Function)}


PORT = "class Clock(Protocol):\n    def now_ns(self): ...\n"
CLOCK = "class {name}:\n    def now_ns(self):\n        return 1\n"

RULES = (
    Rule(
        name="modules stay below the ceiling",
        search=in_each(long_modules),
        fault={"src/mutualedge/plan/x.py": "a = 1\n" * (MODULE_LINES_MAX + 1)},
        mended={"src/mutualedge/plan/x.py": "a = 1\n" * MODULE_LINES_MAX},
    ),
    Rule(
        name="functions stay below the ceiling",
        search=in_each(long_functions),
        fault={"src/mutualedge/plan/x.py": "def f():\n" + "    a = 1\n" * (FUNCTION_LINES_MAX + 1)},
        mended={"src/mutualedge/plan/x.py": "def f():\n" + "    a = 1\n" * FUNCTION_LINES_MAX},
    ),
    Rule(
        name="no function only forwards",
        search=in_each(forwarding_functions),
        fault={"src/mutualedge/plan/x.py": "def fit(job, lease):\n    return place(job, lease)\n"},
        mended={
            "src/mutualedge/plan/x.py": (
                "def fit(job, lease):\n    return place(job, lease, ROOM)\n"
                "def parse_id(text):\n    return LeaseId(text)\n"
            )
        },
    ),
    Rule(
        name="a port has two implementations",
        search=lonely_ports,
        fault={"src/mutualedge/node/x.py": PORT + CLOCK.format(name="SystemClock")},
        mended={
            "src/mutualedge/node/x.py": PORT + CLOCK.format(name="SystemClock"),
            "tests/simulation/x.py": CLOCK.format(name="VirtualClock"),
        },
    ),
    Rule(
        name="an abstract class has two subclasses",
        search=lonely_bases,
        fault={"src/mutualedge/node/x.py": "class Store(ABC): ...\nclass File(Store): ...\n"},
        mended={
            "src/mutualedge/node/x.py": (
                "class Store(ABC): ...\nclass File(Store): ...\nclass Memory(Store): ...\n"
            )
        },
    ),
)
