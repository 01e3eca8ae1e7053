"""The core counts in integers and runs the same in every process."""

import ast
from collections.abc import Iterator

from tests.tidy.reading import Function, Module, Rule, functions, in_each

CORE = frozenset(
    {
        "node",
        "cluster",
        "runner",
        "consortium",
        "fleet",
        "audit",
        "ledger",
        "plan",
        "attest",
        "session",
        "functions",
        "tlog",
        "policy",
        "connectors",
        "protocol",
        "meter",
        "market",
        "identity",
        "signing",
        "model",
        "errors",
    }
)
"""The rooms below `adapters`; test_rooms holds this list to the import contract."""

MONEY = frozenset({"ledger", "meter"})

ORDERLESS = frozenset(
    {
        "all",
        "any",
        "frozenset",
        "len",
        "max",
        "min",
        "set",
        "sorted",
        "sum",
        "Counter",
        "isdisjoint",
        "issubset",
        "issuperset",
        "union",
        "update",
        "difference",
        "intersection",
        "fsum",
    }
)
"""What takes elements in any order and gives the same result."""

SET_TYPES = frozenset({"set", "frozenset", "Set", "AbstractSet", "MutableSet"})


def floats(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(id="float") | ast.Constant(value=float()):
                yield node.lineno, "a float where money or time is counted"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division gives a float; use // and say who gets the rest"


def set_iterations(module: Module) -> Iterator[tuple[int, str]]:
    """Find loops over sets, whose order differs between two processes."""
    fields = set_fields(module.tree)
    outer = set_names(module.tree.body)
    yield from loops_over_sets(module.tree, fields, outer)
    for function in functions(module.tree):
        arguments = {
            argument.arg
            for argument in ast.walk(function.args)
            if isinstance(argument, ast.arg) and names_a_set(argument.annotation)
        }
        inner = outer | arguments | set_names(list(ast.walk(function)))
        yield from loops_over_sets(function, fields, inner)


def set_fields(tree: ast.Module) -> set[str]:
    """Return the attributes that classes of this module declare or fill as sets."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(body=body):
                found |= {
                    part.target.id
                    for part in body
                    if isinstance(part, ast.AnnAssign)
                    and isinstance(part.target, ast.Name)
                    and names_a_set(part.annotation)
                }
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                if names_a_set(annotation):
                    found.add(name)
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=value):
                if is_set(value, set(), set()):
                    found.add(name)
    return found


def set_names(nodes: list[ast.stmt] | list[ast.AST]) -> set[str]:
    """Return the variables that these statements assign a set to."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                if names_a_set(annotation):
                    found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if is_set(value, set(), found):
                    found.add(name)
    return found


def names_a_set(annotation: ast.expr | None) -> bool:
    """Tell whether an annotation is a set itself, not a container of sets."""
    if annotation is None:
        return False
    outermost = ast.unparse(annotation).strip("'\"").partition("[")[0].rpartition(".")[2]
    return outermost in SET_TYPES


def is_set(value: ast.expr, fields: set[str], names: set[str]) -> bool:
    match value:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=("set" | "frozenset"))):
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name in fields
        case ast.BinOp(op=(ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor())):
            return is_set(value.left, fields, names) or is_set(value.right, fields, names)
        case _:
            return False


def loops_over_sets(
    scope: ast.Module | Function, fields: set[str], names: set[str]
) -> Iterator[tuple[int, str]]:
    """Yield loops whose order can be seen in a result; `sorted(...)` and `any(...)` hide it."""
    message = "iterates over a set, whose order differs between processes; sort it"
    for node, parent in with_parent(scope):
        match node:
            case ast.For(iter=source):
                ordered = is_set(source, fields, names)
            case ast.ListComp() | ast.DictComp() | ast.GeneratorExp() if not is_orderless(parent):
                ordered = any(is_set(each.iter, fields, names) for each in node.generators)
            case ast.Call(func=ast.Name(id=("list" | "tuple" | "iter" | "enumerate" | "dict"))):
                ordered = any(is_set(argument, fields, names) for argument in node.args)
            case ast.Call(func=ast.Attribute(attr="join")):
                ordered = any(is_set(argument, fields, names) for argument in node.args)
            case ast.Starred(value=value) if not isinstance(parent, ast.Set):
                ordered = is_set(value, fields, names) and not is_orderless(parent)
            case _:
                continue
        if ordered:
            yield node.lineno, message


def is_orderless(parent: ast.AST) -> bool:
    if not isinstance(parent, ast.Call):
        return False
    return ast.unparse(parent.func).rpartition(".")[2] in ORDERLESS


def with_parent(scope: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Walk below a node; nested functions are walked when they are a scope themselves."""
    for child in ast.iter_child_nodes(scope):
        yield child, scope
        if not isinstance(child, Function):
            yield from with_parent(child)


RULES = (
    Rule(
        name="money and metered time are integers",
        search=in_each(floats, rooms=MONEY),
        fault={"src/mutualedge/ledger/x.py": "def fee(total):\n    return total / 100\n"},
        mended={"src/mutualedge/ledger/x.py": "def fee(total):\n    return total // 100\n"},
    ),
    Rule(
        name="the core does not iterate over sets",
        search=in_each(set_iterations, rooms=CORE),
        fault={
            "src/mutualedge/ledger/x.py": (
                "def post(members: frozenset[str]):\n    return [pay(m) for m in members]\n"
            )
        },
        mended={
            "src/mutualedge/ledger/x.py": (
                "def post(members: frozenset[str]):\n"
                "    assert any(m for m in members)\n"
                "    return [pay(m) for m in sorted(members)]\n"
            )
        },
    ),
    Rule(
        name="the core does not iterate over a field that is a set",
        search=in_each(set_iterations, rooms=CORE),
        fault={
            "src/mutualedge/node/x.py": (
                "class Station:\n    waiting: set[str]\n"
                "    def drain(self):\n        for name in self.waiting:\n            go(name)\n"
            )
        },
        mended={
            "src/mutualedge/node/x.py": (
                "class Station:\n    waiting: dict[str, None]\n"
                "    def drain(self):\n        for name in self.waiting:\n            go(name)\n"
            )
        },
    ),
)
