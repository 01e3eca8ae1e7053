"""What an operator may choose for a process, and the file that says it.

``settings`` reads it and what wins over it. ``process.json`` beside it holds what nobody chooses:
who the process is, its secrets and credentials.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from mutualedge.app.files import write_whole
from mutualedge.model import (
    Amount,
    DurationMs,
    EnterpriseName,
    Microcredits,
    Milliseconds,
    PositiveCount,
)

SETTINGS_FILE = "settings.toml"
SETTINGS_KEPT = f"{SETTINGS_FILE}.before-leaving"
"""What its owner wrote, of a node that was told to leave; it may stay after all."""

SETTINGS_MODE = 0o644

_HEADING = """\
# What this process does; docs/reference/settings.md says what each setting means.
# An environment variable (MUTUALEDGE_SECTION_NAME) or a flag (--set SECTION.NAME=VALUE) wins over
# this file; 'mutualedge config show FOLDER' prints what counts, and where it comes from.
"""


PRICE_MAX_MICROCREDITS = 1_000_000
"""A whole credit for a millisecond: twenty thousand times the usual price is a slip."""

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
AnyPort = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Price = Annotated[Microcredits, msgspec.Meta(ge=0, le=PRICE_MAX_MICROCREDITS)]


class TimingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds and rhythms of a node; ``node.NodeSettings`` says what each means."""

    job_budget_ms: PositiveCount = 20
    network_ms: DurationMs = Milliseconds(5)
    window_calls: PositiveCount = 32
    window_ms: DurationMs = Milliseconds(10_000)
    dispute_window_ms: DurationMs = Milliseconds(24 * 3600 * 1000)
    settle_grace_ms: DurationMs = Milliseconds(60_000)
    checkpoint_every_ms: DurationMs = Milliseconds(10_000)
    follow_every_ms: DurationMs = Milliseconds(1_000)
    request_timeout_ms: DurationMs = Milliseconds(5_000)


class LendingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the node lends, per lease."""

    budget_ms: PositiveCount = 20
    period_ms: PositiveCount = 50
    deadline_ms: PositiveCount = 50
    price_microcredits: Price = Microcredits(50)
    credit_microcredits: Amount = Microcredits(1_000_000_000)


class BorrowingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From whom the node borrows, and for how long at a time."""

    providers: tuple[EnterpriseName, ...] = ()
    lease_ms: DurationMs = Milliseconds(3600 * 1000)
    renew_before_ms: DurationMs = Milliseconds(0)
    price_max_microcredits: Price = Microcredits(100)

    def __post_init__(self) -> None:
        """Refuse what would have the node sign one lease after the other without end."""
        if self.renew_before_ms >= self.lease_ms:
            message = f"renew_before_ms ({self.renew_before_ms}) must be less than lease_ms"
            raise ValueError(message)


class NodeNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a node's NATS server listens and links to.

    Attributes:
        hub_port: For the link between the servers.
        office_port: Where the hub answers about membership.
        client_port: On which its server listens for devices; 0 for any free one.
        nats_server: Path of the owner's own nats-server; empty for the one we bring.
    """

    hub_host: str = "127.0.0.1"
    hub_port: Port = 7422
    office_port: Port = 7423
    client_port: AnyPort = 0
    nats_server: str = ""


class HubNetwork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the hub's NATS server listens.

    Attributes:
        leaf_host: Address on which members' servers reach it.
        leaf_port: Port of the same.
        office_port: On the same address, for questions about membership.
        nats_server: Path of the owner's own nats-server; empty for the one we bring.
    """

    leaf_host: str = "127.0.0.1"
    leaf_port: Port = 7422
    office_port: Port = 7423
    nats_server: str = ""


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a node process; a section that is absent means the node does not do that."""

    network: NodeNetwork = NodeNetwork()
    timing: TimingSettings = TimingSettings()
    lending: LendingSettings | None = None
    borrowing: BorrowingSettings | None = None


class HubOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a hub process."""

    network: HubNetwork = HubNetwork()


SECTIONS: Mapping[type[NodeOptions] | type[HubOptions], Mapping[str, type[msgspec.Struct]]] = {
    NodeOptions: {
        "network": NodeNetwork,
        "timing": TimingSettings,
        "lending": LendingSettings,
        "borrowing": BorrowingSettings,
    },
    HubOptions: {"network": HubNetwork},
}
"""Name and fields of each section, by kind of process."""


def settings_text(options: NodeOptions | HubOptions) -> str:
    """Return a settings file that says all of this."""
    lines = [_HEADING.rstrip()]
    for section in SECTIONS[type(options)]:
        values = getattr(options, section)
        if values is not None:
            lines += ["", f"[{section}]"]
            lines += [
                f"{name} = {toml_text(getattr(values, name))}" for name in values.__struct_fields__
            ]
    return "\n".join(lines) + "\n"


def toml_text(value: object) -> str:
    """Return an integer, a text or a list of texts as TOML, which JSON is for these."""
    return msgspec.json.encode(value).decode()


def write_settings(folder: Path, options: NodeOptions | HubOptions) -> None:
    """Write a process's settings file, whole or not at all; it holds no secret."""
    content = settings_text(options).encode()
    write_whole(folder / SETTINGS_FILE, content, mode=SETTINGS_MODE)
