"""Choosing settings for good: changes a process's settings file, and nothing else in it."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

from mutualedge.app.files import HubFile, read_any_process_file, write_whole
from mutualedge.app.options import (
    SECTIONS,
    SETTINGS_FILE,
    SETTINGS_MODE,
    HubOptions,
    NodeOptions,
    toml_text,
)
from mutualedge.app.settings import parse_choice, read_settings_file, settle
from mutualedge.errors import UsageError


def choose_settings(folder: Path, flags: Sequence[str]) -> tuple[str, ...]:
    """Change a process's settings file, all of it or nothing; return each setting as it stands now.

    Args:
        folder: The process's own.
        flags: ``SECTION.NAME=VALUE`` each.

    Raises:
        UsageError: It is no process's folder, or a setting is unknown or cannot be so.
    """
    is_hub = isinstance(read_any_process_file(folder), HubFile)
    sections = SECTIONS[HubOptions if is_hub else NodeOptions]
    path = folder / SETTINGS_FILE
    read_settings_file(path)
    text, told = path.read_text("utf-8"), []
    for flag in flags:
        choice = parse_choice(flag, sections)
        text = with_setting(text, choice.section, choice.name, toml_text(choice.value))
        told.append(f"{choice.section}.{choice.name} = {toml_text(choice.value)}")
    try:
        file = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence = f"{path} has a value over several lines; change it with an editor."
        raise UsageError("app.settings.spread", sentence) from error
    settle(HubOptions, path, file, {}, ()) if is_hub else settle(NodeOptions, path, file, {}, ())
    write_whole(path, text.encode(), mode=SETTINGS_MODE)
    return tuple(told)


def with_setting(text: str, section: str, name: str, value: str) -> str:
    """Return the text of a settings file with one setting changed, its comments kept."""
    lines, header, line = text.splitlines(), f"[{section}]", f"{name} = {value}"
    heads = [index for index, each in enumerate(lines) if each.strip() == header]
    if not heads:
        return "\n".join([*lines, "", header, line, ""])
    end = heads[0] + 1
    while end < len(lines) and not lines[end].startswith("["):
        if re.match(rf"\s*{re.escape(name)}\s*=", lines[end]):
            return "\n".join([*lines[:end], line, *lines[end + 1 :], ""])
        end += 1
    return "\n".join([*lines[: heads[0] + 1], line, *lines[heads[0] + 1 :], ""])
