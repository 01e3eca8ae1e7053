"""Tests prove something, and without a mock library."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.reading import Function, Module, Rule, functions, in_each_test

MOCK_LIBRARIES = frozenset(
    {"mock", "unittest.mock", "pytest_mock", "mocker", "flexmock", "doublex"}
)
EXPECTS = re.compile(r"(^|\.)(raises|warns|fail|deprecated_call)$|(^|\.|_)(assert|validate)(_|$)")


def tests_without_expectation(module: Module) -> Iterator[tuple[int, str]]:
    """Find tests that pass whatever the code does."""
    expecting = {f.name for f in functions(module.tree) if expects(f, frozenset())}
    for function in functions(module.tree):
        if function.name.startswith("test_") and not expects(function, frozenset(expecting)):
            yield function.lineno, f"{function.name} expects nothing"


def expects(function: Function, expecting: frozenset[str]) -> bool:
    """Tell whether some statement can fail the test: one with content, here or in what it calls."""
    for node in ast.walk(function):
        match node:
            case ast.Assert(test=test) if not says_nothing(test):
                return True
            case ast.Call(func=called):
                name = ast.unparse(called)
                if EXPECTS.search(name) or name.rpartition(".")[2] in expecting:
                    return True
    return False


def says_nothing(test: ast.expr) -> bool:
    """Tell assertions that nearly every program passes: a constant, or being something at all."""
    match test:
        case (
            ast.Constant() | ast.Compare(ops=[ast.IsNot()], comparators=[ast.Constant(value=None)])
        ):
            return True
        case _:
            return False


def tests_without_law(module: Module) -> Iterator[tuple[int, str]]:
    for function in functions(module.tree):
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield function.lineno, f"{function.name} does not say what must hold"


def mock_libraries(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                imported = {alias.name for alias in names}
            case ast.ImportFrom(module=str() as origin, names=names):
                imported = {origin, *(f"{origin}.{alias.name}" for alias in names)}
            case ast.arg(arg=name):
                imported = {name}
            case _:
                continue
        if imported & MOCK_LIBRARIES:
            yield node.lineno, "a mock library; write the fake once"


RULES = (
    Rule(
        name="a test expects something",
        search=in_each_test(tests_without_expectation),
        fault={"tests/unit/x.py": "def test_it():\n    assert run() is not None\n"},
        mended={"tests/unit/x.py": "def test_it():\n    assert run() == 3\n"},
    ),
    Rule(
        name="a test says what must hold",
        search=in_each_test(tests_without_law),
        fault={"tests/unit/x.py": "def test_it():\n    assert f() == 3\n"},
        mended={
            "tests/unit/x.py": 'def test_it():\n    """A lease ends once."""\n    assert f() == 3\n'
        },
    ),
    Rule(
        name="no mock library",
        search=in_each_test(mock_libraries),
        fault={"tests/unit/x.py": "from unittest import mock\n"},
        mended={"tests/unit/x.py": "from tests.simulation.clock import VirtualClock\n"},
    ),
)
