"""Which walls stand around a runner, from what the kernel says about its process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Timing = Literal["prioritised", "best-effort"]

UNEXPLAINED: Mapping[str, str] = {
    "no-new-privileges": "the kernel did not grant it; use Linux 3.5 or newer",
    "no-capabilities": "it kept capabilities; run the node as root or as a user without any",
    "unprivileged-user": "it is still root; run the node as another user",
    "seccomp": "the kernel did not take the filter; use one built with CONFIG_SECCOMP_FILTER",
    "bubblewrap": "bwrap made no namespaces of its own; install the package 'bubblewrap'",
}
"""Why a wall does not stand, and what to do, where its builder said nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLayer:
    """A wall that does not stand here, and what to do about it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationReport:
    """What separates a runner from its host, and whether it is scheduled before others.

    Attributes:
        layers: Walls that stand, outermost last.
        missing: Walls that do not, with the reason.
        timing: ``prioritised`` with real-time or raised priority; never ``enforced``: that is
            a promise about every process of the machine, which nobody here can give.
        timing_reason: How it is prioritised, or why not.
    """

    layers: tuple[str, ...]
    missing: tuple[MissingLayer, ...]
    timing: Timing
    timing_reason: str


def report_of(
    facts: Mapping[str, str], ours: Mapping[str, str], absent: Mapping[str, str]
) -> IsolationReport:
    """Return what stands, judged by the process's own view of itself and not by our intent.

    Args:
        facts: What ``confine.observed`` saw in the new process, and its timing.
        ours: The same for this process: a namespace counts when it is another one.
        absent: Reasons already known, by layer.
    """
    user_id = facts["Uid"].split()[0]
    other_namespaces = all(facts[name] != ours[name] for name in ("ipc", "mnt", "net", "pid"))
    stands = {
        # Every function is WebAssembly: the runner has no other engine. And without its limits
        # ``confine`` ends.
        "wasm": True,
        "rlimits": True,
        "no-new-privileges": facts["NoNewPrivs"] == "1",
        "no-capabilities": int(facts["CapPrm"], 16) == 0,
        "unprivileged-user": user_id != "0",
        "seccomp": facts["Seccomp"] == "2",
        "bubblewrap": other_namespaces,
    }
    return IsolationReport(
        layers=tuple(name for name, is_there in stands.items() if is_there),
        missing=tuple(
            MissingLayer(name=name, reason=absent.get(name, UNEXPLAINED[name]))
            for name, is_there in stands.items()
            if not is_there
        ),
        timing="prioritised" if facts["timing"] == "prioritised" else "best-effort",
        timing_reason=facts["timing_reason"],
    )
