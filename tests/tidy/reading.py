"""What the house rules look at: parsed modules, and what a rule says about them."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

HOUSE = Path(__file__).parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One parsed source file; the path is relative to the house."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Name the package directly below mutualedge that the file belongs to, else nothing."""
        match self.path.parts:
            case ("src", "mutualedge", room, _, *_):
                return room
            case _:
                return ""

    @property
    def is_test(self) -> bool:
        return self.path.parts[0] == "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place that breaks a rule, printed as an editor can jump to it."""

    path: PurePosixPath
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


Search = Callable[[Sequence[Module]], Iterable[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A house rule with the proof that it can fail: a planted fault, and the same code mended."""

    name: str
    search: Search
    fault: Mapping[str, str]
    mended: Mapping[str, str]


def in_each(
    look: Callable[[Module], Iterator[tuple[int, str]]], *, rooms: frozenset[str] | None = None
) -> Search:
    """Turn a look at one source module (all, or those of some rooms) into a search."""

    def search(modules: Sequence[Module]) -> Iterator[Finding]:
        for module in modules:
            if module.is_test or (rooms is not None and module.room not in rooms):
                continue
            for line, message in look(module):
                yield Finding(path=module.path, line=line, message=message)

    return search


def in_each_test(look: Callable[[Module], Iterator[tuple[int, str]]]) -> Search:
    """Turn a look at one test module into a search."""

    def search(modules: Sequence[Module]) -> Iterator[Finding]:
        for module in modules:
            if module.is_test:
                for line, message in look(module):
                    yield Finding(path=module.path, line=line, message=message)

    return search


def parsed(files: Mapping[str, str]) -> tuple[Module, ...]:
    """Parse source texts named by their path in the house."""
    return tuple(
        Module(path=PurePosixPath(path), text=text, tree=ast.parse(text, path))
        for path, text in files.items()
    )


@cache
def the_house() -> tuple[Module, ...]:
    """Read and parse everything below src and tests once."""
    paths = [path for folder in ("src", "tests") for path in sorted((HOUSE / folder).rglob("*.py"))]
    return parsed({path.relative_to(HOUSE).as_posix(): path.read_text("utf-8") for path in paths})


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield every function and method below a node."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> list[ast.arg]:
    """Return the parameters a caller fills in."""
    every = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return [argument for argument in every if argument.arg not in {"self", "cls"}]


def body_without_docstring(function: Function) -> list[ast.stmt]:
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def last_name(expression: ast.expr) -> str:
    """Return the last part of a dotted name, generic arguments left out."""
    return ast.unparse(expression).partition("[")[0].rpartition(".")[2]
