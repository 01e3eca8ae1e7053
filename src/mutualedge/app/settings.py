"""Which settings count: defaults, the process's file, the environment, flags. Later ones win."""

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from mutualedge.app.files import HubFile, read_any_process_file
from mutualedge.app.options import (
    SECTIONS,
    SETTINGS_FILE,
    HubOptions,
    NodeOptions,
    toml_text,
)
from mutualedge.errors import UsageError

S = TypeVar("S", NodeOptions, HubOptions)

ENVIRONMENT_PREFIX = "MUTUALEDGE"
DEFAULT = "default"

_Sections = Mapping[str, type[msgspec.Struct]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as it counts, and where that comes from."""

    name: str
    value: object
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Generic[S]):
    """The settings of a process, and for each where it comes from."""

    options: S
    origins: tuple[Setting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A value that somebody set: where, and for what."""

    section: str
    name: str
    value: object
    origin: str


def read_options(folder: Path, kind: type[S], flags: Sequence[str] = ()) -> S:
    """Return what counts for the process in this folder.

    Raises:
        UsageError: As ``settle`` and ``read_settings_file`` say.
    """
    return read_settled(folder, kind, flags).options


def read_settled(folder: Path, kind: type[S], flags: Sequence[str] = ()) -> Settled[S]:
    """Return what counts for the process in this folder, and why.

    Raises:
        UsageError: As ``settle`` and ``read_settings_file`` say.
    """
    path = folder / SETTINGS_FILE
    return settle(kind, path, read_settings_file(path), os.environ, flags)


def read_settings_file(path: Path) -> dict[str, object]:
    """Return what a settings file says.

    Raises:
        UsageError: It is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); found or join a consortium there."
        raise UsageError("app.settings.unreadable", sentence) from error
    except ValueError as error:
        raise UsageError("app.settings.malformed", f"{path} is not TOML: {error}.") from error


def settle(
    kind: type[S],
    path: Path,
    file: Mapping[str, object],
    environment: Mapping[str, str],
    flags: Sequence[str],
) -> Settled[S]:
    """Return what counts: defaults, then the file, the environment, the flags.

    Args:
        kind: Whose settings.
        path: Of the settings file, for sentences.
        file: Its content.
        environment: All variables; those with our prefix and a section's name are settings, but
            for sections that a process need not have, and this file has not.
        flags: ``SECTION.NAME=VALUE`` each, values as in the file.

    Raises:
        UsageError: A name is unknown, or a value is not what it must be.
    """
    sections: _Sections = SECTIONS[kind]
    chosen = [
        *_from_file(path, file, sections),
        *_from_environment(environment, _present(kind, file)),
        *(parse_choice(flag, sections) for flag in flags),
    ]
    tree: dict[str, dict[str, object]] = {section: {} for section in file}
    for choice in chosen:
        tree.setdefault(choice.section, {})[choice.name] = choice.value
    origins = {(choice.section, choice.name): choice.origin for choice in chosen}
    try:
        options = msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        sentence = f"{_place(str(error), path, origins)}: {error}."
        raise UsageError("app.settings.malformed", sentence) from error
    return Settled(options=options, origins=tuple(_explained(options, origins)))


def _from_file(path: Path, file: Mapping[str, object], sections: _Sections) -> Iterator[Choice]:
    for section, values in file.items():
        if section not in sections or not isinstance(values, dict):
            raise _unknown(f"{path} names '{section}', which", sections)
        for name, value in values.items():
            _check_known(str(path), section, name, sections)
            yield Choice(section=section, name=name, value=value, origin=str(path))


def _present(kind: type[S], file: Mapping[str, object]) -> _Sections:
    """Return the sections that are there: a variable must not undo that one was taken away."""
    optional = {each.name for each in msgspec.structs.fields(kind) if each.default is None}
    sections: _Sections = SECTIONS[kind]
    return {name: sections[name] for name in sections if name in file or name not in optional}


def _from_environment(environment: Mapping[str, str], sections: _Sections) -> Iterator[Choice]:
    known = dict(_variables())
    for variable, text in sorted(environment.items()):
        key = known.get(variable)
        if key is None:
            _check_variable(variable)
        elif key[0] in sections and key[1] in sections[key[0]].__struct_fields__:
            section, name = key
            yield Choice(section=section, name=name, value=_parse(text), origin=variable)


def _variables() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the variable of every setting of any kind of process: they share an environment."""
    for sections in SECTIONS.values():
        for section, fields in sections.items():
            for name in fields.__struct_fields__:
                yield f"{ENVIRONMENT_PREFIX}_{section}_{name}".upper(), (section, name)


def _check_variable(variable: str) -> None:
    every = {section for sections in SECTIONS.values() for section in sections}
    for section in sorted(every):
        if variable.startswith(f"{ENVIRONMENT_PREFIX}_{section}_".upper()):
            raise _unknown(f"The environment names {variable}, which", {section: msgspec.Struct})


def parse_choice(flag: str, sections: _Sections) -> Choice:
    """Return the setting that a flag chooses.

    Raises:
        UsageError: It is not written so, or there is no such setting.
    """
    key, equals, text = flag.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (equals and dot):
        sentence = f"'{flag}' is no setting; write SECTION.NAME=VALUE."
        raise UsageError("app.settings.malformed", sentence)
    _check_known(f"'{flag}'", section, name, sections)
    return Choice(section=section, name=name, value=_parse(text), origin="--set")


def _parse(text: str) -> object:
    """Return a value as the settings file would read it; what is no TOML is plain text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check_known(where: str, section: str, name: str, sections: _Sections) -> None:
    if section not in sections or name not in sections[section].__struct_fields__:
        raise _unknown(f"{where} names '{section}.{name}', which", sections)


def _unknown(what: str, sections: Iterable[str]) -> UsageError:
    sentence = f"{what} is no setting of this process; its sections are {', '.join(sections)}."
    return UsageError("app.settings.unknown", sentence)


def _place(message: str, path: Path, origins: Mapping[tuple[str, str], str]) -> str:
    """Return where the value stands that a message complains about."""
    for (section, name), origin in origins.items():
        if f"`$.{section}.{name}" in message:
            return origin
    return str(path)


def _explained(
    options: NodeOptions | HubOptions, origins: Mapping[tuple[str, str], str]
) -> Iterator[Setting]:
    for section, fields in SECTIONS[type(options)].items():
        values = getattr(options, section)
        for name in fields.__struct_fields__ if values is not None else ():
            yield Setting(
                name=f"{section}.{name}",
                value=getattr(values, name),
                origin=origins.get((section, name), DEFAULT),
            )


def default_folder() -> Path:
    """Return where this user's local consortium lives (XDG base directories)."""
    named = os.environ.get("XDG_DATA_HOME", "")
    data = Path(named) if named.startswith("/") else Path.home() / ".local" / "share"
    return data / "mutualedge" / "local"


def explain_folder(folder: Path, flags: Sequence[str]) -> tuple[Setting, ...]:
    """Return every setting of the process in a folder, and where it comes from.

    Raises:
        UsageError: It is no process's folder, or its settings cannot be read.
    """
    if isinstance(read_any_process_file(folder), HubFile):
        return read_settled(folder, HubOptions, flags).origins
    return read_settled(folder, NodeOptions, flags).origins


def explanation_text(settings: Sequence[Setting], *, as_json: bool) -> str:
    """Return settings and origins for a person, or as one JSON object."""
    if as_json:
        told = {each.name: {"value": each.value, "origin": each.origin} for each in settings}
        return msgspec.json.encode(told).decode()
    lines = [(f"{each.name} = {toml_text(each.value)}", each.origin) for each in settings]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"{line:<{width}}  {origin}" for line, origin in lines)
