"""Every error code in the source, found without importing it.

A code is the first argument of an error class, of a row of meanings, of a function whose first
parameter is called `code`, or an argument `code=`. Those name the areas; a literal of three or
more parts that begins with such an area is a code as well (tables, constants, branches). A code is
never put together at run time: the operator who meets it could not look it up.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

CODE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+")
ROOT_ERROR = "MutualEdgeError"
ROW = "Meaning"
PARTS_OF_A_LONE_CODE = 3


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Entry:
    """One place that names a code.

    Attributes:
        code: The dotted code.
        raised_as: The class or function that receives it; empty for a literal that stands alone.
        sentence: What the operator reads, `{…}` for what is filled in; empty if made elsewhere.
        place: Package of the module, dotted.
        advice: What to do, where the sentence does not say it.
    """

    code: str
    raised_as: str
    sentence: str
    place: str
    advice: str = ""


def error_catalogue(source: Path) -> list[Entry]:
    """Return the codes of all modules below `source` in order, one entry per code and place."""
    modules = [
        (".".join(path.relative_to(source).parent.parts), ast.parse(path.read_text("utf-8")))
        for path in sorted(source.rglob("*.py"))
    ]
    receivers = code_receivers([tree for _, tree in modules])
    found = {entry for place, tree in modules for entry in entries(tree, place, receivers)}
    listed = {entry.code for entry in found}
    areas = {code.partition(".")[0] for code in listed}
    alone = {entry for place, tree in modules for entry in literals(tree, place, areas)}
    return sorted(found | {entry for entry in alone if entry.code not in listed})


def code_receivers(trees: Sequence[ast.Module]) -> frozenset[str]:
    """Name what takes a code first: classes below the root error, rows of meanings, functions."""
    bases: dict[str, list[str]] = {}
    takers: list[str] = []
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            if names[:1] == ["code"] and node.name != "__init__":
                takers.append(node.name)
    errors = [ROOT_ERROR, ROW]
    for error in errors:  # grows while we walk it: breadth first over the tree of subclasses
        below = [name for name, parents in bases.items() if error in parents]
        errors += [name for name in below if name not in errors]
    return frozenset(errors + takers)


def entries(tree: ast.Module, place: str, receivers: frozenset[str]) -> Iterator[Entry]:
    """Yield the codes one module hands to a receiver or to an argument called `code`."""
    assigned = assignments(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        receiver = ast.unparse(call.func).rpartition(".")[2]
        said = [keyword.value for keyword in call.keywords if keyword.arg == "sentence"]
        said += call.args[1:2] if receiver in receivers else []
        texts = [text for each in said for text in written(each, assigned, call.lineno)]
        for code in written(code_of(call, receivers), assigned, call.lineno):
            if CODE.fullmatch(code):
                yield Entry(
                    code=code,
                    raised_as="" if receiver == ROW else receiver,
                    sentence=" / ".join(texts),
                    place=place,
                    advice=" ".join(advice_of(call, receiver, assigned)),
                )


def advice_of(
    call: ast.Call, receiver: str, assigned: Mapping[str, Sequence[ast.Assign]]
) -> list[str]:
    """Return what a row of meanings advises; an error says it in its sentence."""
    return written(call.args[2], assigned, call.lineno) if receiver == ROW else []


def literals(tree: ast.Module, place: str, areas: AbstractSet[str]) -> Iterator[Entry]:
    """Yield the texts of three or more parts that begin with a known area."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if CODE.fullmatch(text):
                if text.count(".") >= PARTS_OF_A_LONE_CODE - 1 and text.partition(".")[0] in areas:
                    yield Entry(code=text, raised_as="", sentence="", place=place)


def composed_codes(source: Path) -> list[str]:
    """Return the places that put a code together at run time, as `path:line`."""
    paths = sorted(source.rglob("*.py"))
    trees = [ast.parse(path.read_text("utf-8")) for path in paths]
    receivers = code_receivers(trees)
    return [
        f"{path.relative_to(source)}:{call.lineno}"
        for path, tree in zip(paths, trees, strict=True)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call))
        if isinstance(code_of(call, receivers), ast.JoinedStr | ast.BinOp)
    ]


def code_of(call: ast.Call, receivers: frozenset[str]) -> ast.expr | None:
    """Return what stands where a call takes a code, or nothing if it takes none."""
    for keyword in call.keywords:
        if keyword.arg == "code":
            return keyword.value
    receiver = ast.unparse(call.func).rpartition(".")[2]
    return call.args[0] if receiver in receivers and call.args else None


def assignments(tree: ast.Module) -> dict[str, list[ast.Assign]]:
    """Return the plain assignments to each name, top to bottom."""
    found: dict[str, list[ast.Assign]] = {}
    for node in sorted(
        (node for node in ast.walk(tree) if isinstance(node, ast.Assign)),
        key=lambda node: node.lineno,
    ):
        for target in node.targets:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(node)
    return found


def written(
    expression: ast.expr | None, assigned: Mapping[str, Sequence[ast.Assign]], line: int
) -> list[str]:
    """Return the texts an expression can be, as the source writes them, blanks as `{…}`."""
    match expression:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr(values=values):
            parts = [str(v.value) if isinstance(v, ast.Constant) else "{…}" for v in values]
            return ["".join(parts)]
        case ast.IfExp(body=body, orelse=orelse):
            return written(body, assigned, line) + written(orelse, assigned, line)
        case ast.Name(id=name):
            above = [node for node in assigned.get(name, ()) if node.lineno < line]
            return written(above[-1].value, assigned, above[-1].lineno) if above else []
        case _:
            return []
