"""The import contract knows every room, and each library has one home."""

import ast
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

import pytest

from tests.tidy.core_rules import CORE
from tests.tidy.reading import HOUSE, Module, parsed, the_house

FACES = frozenset({"cli", "console", "api", "sdk"})

HOMES: Mapping[str, tuple[str, ...]] = {
    "cryptography": ("adapters", "app", *sorted(CORE)),
    "dcap_qvl": ("attest",),
    "msgspec": ("adapters", "app", *sorted(FACES), *sorted(CORE)),
    "nats": ("adapters.nats",),
    "nats_server": ("adapters.nats", "app"),
    "rich": ("cli",),
    "sqlite3": ("adapters.sqlite",),
    "structlog": ("app", "cli"),
    "typer": ("cli",),
    "uvloop": ("app", "cli"),
    "wasmtime": ("adapters.wasm",),
}
"""Where a library may be imported, so that leaving it touches one folder."""


class Contract(TypedDict, total=False):
    """The parts of an import-linter contract that name rooms."""

    id: str
    layers: list[str]
    source_modules: list[str]
    forbidden_modules: list[str]


def contracts() -> dict[str, Contract]:
    settings = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))
    return {each["id"]: each for each in settings["tool"]["importlinter"]["contracts"]}


def existing_rooms() -> set[str]:
    return {module.room for module in the_house() if module.room}


def rooms_of(names: Sequence[str]) -> set[str]:
    return {name.removeprefix("mutualedge.") for name in names}


def strangers(modules: Sequence[Module], homes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Yield imports of a library outside its home."""
    for module in (module for module in modules if module.room):
        package = ".".join(module.path.parts[2:-1])
        for library in sorted(top_level_imports(module.tree) & homes.keys()):
            if not any(f"{package}.".startswith(f"{home}.") for home in homes[library]):
                yield f"{module.path}: {library} belongs to {' and '.join(homes[library])}"


def top_level_imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str() as origin, level=0):
                found.add(origin.partition(".")[0])
    return found


def test_every_core_room_is_held_to_purity() -> None:
    """A room below the adapters cannot be forgotten in the contract that keeps the core pure."""
    assert rooms_of(contracts()["pure-core"]["source_modules"]) == existing_rooms() & CORE


def test_every_room_has_a_layer() -> None:
    """The core rules and the layers speak about the same rooms."""
    layers = " ".join(contracts()["layers"]["layers"])
    named = {word.strip("()") for word in layers.replace("|", " ").split()}
    assert named == CORE | FACES | {"app", "adapters", "__main__"}
    assert existing_rooms() <= named


def test_faces_reach_nothing_below_app() -> None:
    """The contract on faces forbids every room that exists except app and the shared words."""
    faces = existing_rooms() & FACES
    contract = contracts().get("faces", {})
    assert rooms_of(contract.get("source_modules", [])) == faces
    below = existing_rooms() - FACES - {"app", "errors", "model"} if faces else set()
    assert rooms_of(contract.get("forbidden_modules", [])) == below


def test_libraries_stay_at_home() -> None:
    """A library is imported where its line in HOMES says, nowhere else."""
    assert not list(strangers(the_house(), HOMES))


@pytest.mark.parametrize(
    ("path", "expected"),
    [("src/mutualedge/node/x.py", 1), ("src/mutualedge/adapters/nats/x.py", 0)],
)
def test_a_stranger_is_seen(path: str, expected: int) -> None:
    """An import of nats counts in the core and does not in its adapter."""
    modules = parsed({path: "from nats.aio.client import Client\n"})
    assert len(list(strangers(modules, HOMES))) == expected
