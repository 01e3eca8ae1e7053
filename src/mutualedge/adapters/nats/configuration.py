"""Configuration files of the two kinds of NATS server: the consortium's hub, an enterprise's own.

Pure: settings in, file contents out. The files are JSON, which the server reads as its own format.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

CONFIGURATION_FILE = "nats-server.conf"
LOG_FILE = "nats-server.log"
LINK_FILE = "leaf.creds"

PAYLOAD_BYTES_MAX = 1 << 20
"""One message carries at most 1 MiB; the functions layer sends larger things in chunks."""

HEADER_BYTES_MAX = 64 << 10
"""Room beside the payload: the server counts our headers, and those it adds, into its limit."""

LOG_FILE_BYTES_MAX = 10 << 20
LOG_FILES_MAX = 3

PENDING_BYTES_MAX = 64 << 20
"""What the server holds for one slow reader before it cuts it off: 64 full messages."""

LOOPBACK = "127.0.0.1"
"""Clients log in with passwords over plain TCP, so only this machine may connect."""

AUTHENTICATION_TIMEOUT_S = 2
RECONNECT_S = 1
"""The shortest pause between attempts to reach the hub that the server can express."""

DEVICE_SUBJECT = "me.device.>"
"""What devices ask of their own node; it never leaves the enterprise."""

INBOXES = "_INBOX"

NODE_ACCOUNT = "node"
"""What passes between partners: the one account that the hub is linked to."""

DEVICES_ACCOUNT = "devices"
"""What passes between devices and their node. Nothing leads from here to another account, so who
has every right at the hub has none here: neither readings nor results pass its link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """What one end of mutual TLS shows and trusts, PEM."""

    certificate_pem: bytes
    private_key_pem: bytes = field(repr=False)
    root_pem: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HubServer:
    """The consortium's server: enterprises link to it, its own process connects on loopback.

    Attributes:
        name: Server name in logs and to peers.
        operator_token: Whose account tokens it accepts.
        account_tokens: Every member's token by account key; who is not here is out.
        tls: Its certificate and the root that members' certificates must chain to.
        leaf_host: Address on which members reach it.
        leaf_port: 0 for any free one.
        client_port: On loopback, 0 for any free one.
    """

    name: str
    operator_token: str
    account_tokens: Mapping[str, str]
    tls: TlsFiles
    leaf_host: str = LOOPBACK
    leaf_port: int = 0
    client_port: int = 0

    def files(self, folder: Path) -> dict[str, bytes]:
        """Return the contents of the server's files by name; paths inside point to the folder."""
        leafnodes = {
            "host": self.leaf_host,
            "port": self.leaf_port or -1,
            "tls": {**_tls(folder), "verify": True, "handshake_first": True},
        }
        return _files(
            self.tls,
            _base(folder, self.name, self.client_port)
            | {
                "operator": self.operator_token,
                "resolver": "MEMORY",
                "resolver_preload": dict(self.account_tokens),
                "leafnodes": leafnodes,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalUser:
    """A user of an enterprise's own server; what it may do there follows from what it is."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLink:
    """How an enterprise's server reaches the hub: address, leaf credentials, mutual TLS."""

    host: str
    port: int
    credentials: str = field(repr=False)
    tls: TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterpriseServer:
    """An enterprise's own server: works alone, linked to the hub while that is reachable.

    Attributes:
        name: Server name in logs and to peers.
        node_user: The node as its partners' partner; alone in the linked account.
        intake_user: The node as its devices' server: hears them and answers, nothing else.
        device_users: Devices and gateways: each asks its node and hears its own answers.
        hub: None for an enterprise on its own.
        client_port: 0 for any free one.
    """

    name: str
    node_user: LocalUser
    intake_user: LocalUser
    device_users: tuple[LocalUser, ...] = ()
    hub: HubLink | None = None
    client_port: int = 0

    def files(self, folder: Path) -> dict[str, bytes]:
        """Return the contents of the server's files by name; paths inside point to the folder."""
        base = _base(folder, self.name, self.client_port)
        base["accounts"] = {
            NODE_ACCOUNT: {"users": [_login(self.node_user)]},
            DEVICES_ACCOUNT: {
                "users": [_answering(self.intake_user), *map(_asking, self.device_users)]
            },
        }
        base["authorization"] = {"timeout": AUTHENTICATION_TIMEOUT_S}
        if self.hub is None:
            return _files(None, base)
        remote = {
            "url": f"tls://{self.hub.host}:{self.hub.port}",
            "account": NODE_ACCOUNT,
            "credentials": str(folder / LINK_FILE),
            "tls": {**_tls(folder), "handshake_first": True},
        }
        base["leafnodes"] = {"remotes": [remote], "reconnect": RECONNECT_S}
        return _files(self.hub.tls, base) | {LINK_FILE: self.hub.credentials.encode()}


def inbox_prefix(user: str) -> str:
    """Return where replies to a local user go; nobody else may listen there."""
    return f"{INBOXES}.{user}"


def _login(user: LocalUser) -> dict[str, object]:
    return {"user": user.name, "password": user.password}


def _asking(device: LocalUser) -> dict[str, object]:
    return _confined(device, publish=DEVICE_SUBJECT)


def _answering(intake: LocalUser) -> dict[str, object]:
    return _confined(intake, DEVICE_SUBJECT, publish=f"{INBOXES}.>")


def _confined(user: LocalUser, *subscribe: str, publish: str) -> dict[str, object]:
    permissions = {
        "publish": {"allow": [publish]},
        "subscribe": {"allow": [*subscribe, f"{inbox_prefix(user.name)}.>"]},
    }
    return {**_login(user), "permissions": permissions}


def _base(folder: Path, name: str, client_port: int) -> dict[str, object]:
    return {
        "server_name": name,
        "host": LOOPBACK,
        "port": client_port or -1,
        "max_payload": PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX,
        "max_pending": PENDING_BYTES_MAX,
        "log_file": str(folder / LOG_FILE),
        "logfile_size_limit": LOG_FILE_BYTES_MAX,
        "logfile_max_num": LOG_FILES_MAX,
        "logtime_utc": True,
    }


def _tls(folder: Path) -> dict[str, object]:
    return {
        "cert_file": str(folder / "certificate.pem"),
        "key_file": str(folder / "private-key.pem"),
        "ca_file": str(folder / "root.pem"),
    }


def _files(tls: TlsFiles | None, configuration: Mapping[str, object]) -> dict[str, bytes]:
    text = msgspec.json.format(msgspec.json.encode(configuration), indent=1)
    files = {CONFIGURATION_FILE: text}
    if tls is not None:
        files["certificate.pem"] = tls.certificate_pem
        files["private-key.pem"] = tls.private_key_pem
        files["root.pem"] = tls.root_pem
    return files
