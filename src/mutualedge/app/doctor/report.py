"""Examines the machine and a consortium on it, and prints each finding with what to do."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mutualedge.app.doctor import consortium, machine
from mutualedge.app.doctor.rules import (
    Finding,
    Result,
    judge_bubblewrap,
    judge_clock,
    judge_disk,
    judge_expiry,
    judge_keys_beside,
    judge_leaving,
    judge_libraries,
    judge_namespaces,
    judge_nats_server,
    judge_open_files,
    judge_permissions,
    judge_port,
    judge_process,
    judge_python,
    judge_reach,
    judge_real_time,
    judge_store,
    judge_trust,
)
from mutualedge.app.files import NodeFile
from mutualedge.app.operation.queries import ProcessView, gather, process_folders
from mutualedge.app.options import NodeOptions
from mutualedge.app.plain_text import printable
from mutualedge.app.settings import default_folder
from mutualedge.app.terminal import tell
from mutualedge.errors import MutualEdgeError

EXIT_SOUND, EXIT_PROBLEMS = 0, 1

MARKS = {Result.OK: "ok      ", Result.WARNING: "warning ", Result.PROBLEM: "PROBLEM "}


def run_doctor(folder: Path | None, *, as_json: bool) -> int:
    """Print every finding and return 0, or 1 if one is a problem.

    Args:
        folder: The consortium's; the user's own local one if not named. Without one, only the
            machine is examined.
        as_json: Print one JSON object.
    """
    where = (folder or default_folder()).absolute()
    findings: list[Finding] = []
    for found in examine(where, is_named=folder is not None):
        advice = found.advice.replace("SITE", str(where))
        finding = msgspec.structs.replace(found, advice=advice)
        findings.append(finding)
        if not as_json:
            tell(finding_text(finding))
    if as_json:
        tell(msgspec.json.format(msgspec.json.encode(findings)).decode(), is_data=True)
    else:
        tell(summary(findings))
    is_sound = all(finding.result is not Result.PROBLEM for finding in findings)
    return EXIT_SOUND if is_sound else EXIT_PROBLEMS


def examine(folder: Path, *, is_named: bool) -> Iterator[Finding]:
    """Yield the findings as they are made, the machine's first.

    Args:
        folder: The consortium's.
        is_named: Somebody said that there is one in this folder.

    Yields:
        One finding for each check.
    """
    folders = process_folders(folder)
    own_folders = list(folders.values())
    yield from _examine_machine(folder, own_folders)
    if not folders:
        yield Finding(
            check="consortium",
            result=Result.PROBLEM if is_named else Result.OK,
            meaning=f"None is in {folder}{'' if is_named else ' yet'}.",
            advice="Look at the name, or found one: mutualedge up.",
        )
        return
    yield judge_permissions(consortium.open_paths(folder, own_folders))
    yield judge_keys_beside(consortium.keys_beside(own_folders))
    for process in gather(folder, time.time_ns()).processes:
        yield from _examine_process(folders[process.name], process)


def _examine_machine(folder: Path, own_folders: list[Path]) -> Iterator[Finding]:
    yield judge_python((sys.version_info.major, sys.version_info.minor))
    yield judge_libraries(machine.libraries())
    yield judge_nats_server(machine.nats_server())
    yield judge_bubblewrap(*machine.bubblewrap())
    yield judge_namespaces(machine.user_namespaces(), is_root=os.geteuid() == 0)
    yield judge_real_time(machine.real_time())
    yield judge_open_files(machine.open_files())
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    yield from _tried("disk", lambda: judge_disk(machine.disk(existing)))
    founded_ns = consortium.founded_ns(own_folders) if own_folders else None
    yield judge_clock(machine.clock(founded_ns, consortium.ledger_ns(own_folders)))


def _examine_process(own: Path, process: ProcessView) -> Iterator[Finding]:
    name = process.name
    yield judge_process(consortium.process_of(process))
    yield judge_store(consortium.store_of(name, own))
    try:
        told, options = consortium.read_told(own)
        dated = list(consortium.expiries(own, told, is_running=process.is_well))
    except MutualEdgeError as error:
        yield _failed(f"settings of {name}", error.sentence)
        return
    yield from (judge_expiry(each, time.time_ns()) for each in dated)
    yield judge_trust(consortium.trust_of(name, own, told.trust))
    yield from map(judge_port, consortium.ports_of(options, process))
    if isinstance(told, NodeFile) and isinstance(options, NodeOptions):
        yield judge_reach(consortium.reach_of(name, told, options.network))
        yield from _tried(
            f"membership of {name}",
            lambda: judge_leaving(consortium.leaving_of(name, own, told)),
        )


def _tried(check: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield look()
    except OSError as error:
        yield _failed(check, f"It cannot be looked at ({error.strerror}).")


def _failed(check: str, meaning: str) -> Finding:
    return Finding(
        check=check,
        result=Result.PROBLEM,
        meaning=meaning,
        advice="Correct this first; the process cannot start like this.",
    )


def finding_text(finding: Finding) -> str:
    """Return a finding as one line, and its advice below where there is one."""
    lines = [f"{MARKS[finding.result]}{finding.check}: {finding.meaning}"]
    if finding.advice:
        lines.append(f"        do: {finding.advice}")
    return "\n".join(map(printable, lines))


def summary(findings: list[Finding]) -> str:
    """Return how many checks came to what."""
    counts = {result: sum(each.result is result for each in findings) for result in Result}
    told = ", ".join(f"{result} {count}" for result, count in counts.items())
    return f"{len(findings)} checks: {told}."
