"""Ears on everything that passes: every subject of a NATS server, every system call of a process.

Readings are looked for in each form they could leak in: as JSON, and as float64 of either order.
"""

import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from nats.aio.msg import Msg

from mutualedge.adapters.nats import (
    Login,
    NatsClient,
    Nkey,
    PasswordLogin,
    TokenLogin,
    connect,
    partner_subject,
)
from mutualedge.adapters.nats.configuration import DEVICE_SUBJECT
from mutualedge.adapters.nats.credentials import _user_token, _Validity
from mutualedge.adapters.nats.nkeys import Role
from mutualedge.app.accounts import account_key
from mutualedge.app.bus import INTAKE_USER, NODE_USER, PARTNER_SERVICE, PARTNER_VERB
from mutualedge.app.files import HubFile, read_process_file
from mutualedge.app.founding import HUB
from mutualedge.model import NS_PER_S, EnterpriseId
from tests.e2e.plant import Plant

FORMS_MIN_CHARACTERS = 12
"""Shorter numbers, such as 0.0, stand in many places by chance."""

PATIENCE_S = 10.0
"""An answer on one machine takes milliseconds, or a second when it is busy."""

SYSTEM_CALLS = "read,write,readv,writev,pread64,pwrite64,sendto,recvfrom,sendmsg,recvmsg"
STRING_BYTES_MAX = 1 << 20
_ESCAPED = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


def marked_readings(first: int, count: int) -> list[float]:
    """Return plausible temperatures whose digits and bits occur nowhere else."""
    return [41.0 + ((first + index) * 0.6180339887498949) % 1 for index in range(count)]


class Marks:
    """Numbers to look for."""

    def __init__(self) -> None:
        self._forms: dict[bytes, float] = {}

    def add(self, numbers: Sequence[float]) -> None:
        for number in numbers:
            text = repr(number).encode()
            if len(text) >= FORMS_MIN_CHARACTERS:
                for form in (text, struct.pack("<d", number), struct.pack(">d", number)):
                    self._forms[form] = number

    def found_in(self, haystack: bytes) -> list[float]:
        return [number for form, number in self._forms.items() if form in haystack]

    def __len__(self) -> int:
        return len(self._forms)


class Taps:
    """Extra subscribers with every right there is; ``heard`` is what passed, by place."""

    def __init__(self, founded: Plant) -> None:
        self._founded = founded
        self._stack = AsyncExitStack()
        self._ears: list[NatsClient] = []
        self._ways: list[tuple[NatsClient, str]] = []
        self.heard: dict[str, list[tuple[str, bytes]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def tap_enterprise(self, name: EnterpriseId) -> None:
        """Listen on an enterprise's own server to all that the node's users may hear."""
        told, url = self._founded.told(name), self._founded.client_url(name)
        node = PasswordLogin(user=NODE_USER, password=told.node_password)
        intake = PasswordLogin(user=INTAKE_USER, password=told.intake_password)
        await self._listen(await self._connect(url, node), ">", name)
        await self._listen(await self._connect(url, intake), DEVICE_SUBJECT, name)

    async def tap_hub(self, account_of: EnterpriseId) -> None:
        """Listen to everything one enterprise's account carries on the hub's server."""
        await self._listen(await self._connect_hub(account_of), ">", f"hub/{account_of}")
        subject = partner_subject(account_of, PARTNER_VERB)
        way = PARTNER_SERVICE if account_of == HUB else subject
        self._ways.append((await self._connect_hub(HUB), way))

    async def hear_out(self) -> None:
        """Return once all that was sent so far is heard, and all that will be sent would be.

        Over each tapped link goes a question and comes its answer: the ears' interest went before
        the one, what was to hear before the other.
        """
        for client, subject in self._ways:
            await client.request(subject, b"nothing", PATIENCE_S)
        for client in self._ears:
            await client._flush()

    async def _connect_hub(self, account_of: EnterpriseId) -> NatsClient:
        user = Nkey(Role.USER, bytes(32))
        validity = _Validity(now_ns=time.time_ns(), lifetime_ns=3600 * NS_PER_S)
        token = _user_token(self._account(account_of), user.public, "tap", {}, validity)
        return await self._connect(self._founded.client_url(HUB), TokenLogin(token=token, key=user))

    def _account(self, name: EnterpriseId) -> Nkey:
        own = self._founded.own(name)
        told = read_process_file(own, HubFile) if name == HUB else self._founded.told(name)
        return account_key(told.account_seed)

    async def _connect(self, url: str, login: Login) -> NatsClient:
        client = await connect(url, login, name="tap", report=print)
        return await self._stack.enter_async_context(client)

    async def _listen(self, client: NatsClient, subject: str, place: str) -> None:
        heard = self.heard.setdefault(place, [])

        def note(message: Msg) -> None:
            heard.append((message.subject, message.data))

        await client._subscribe(subject, note)
        self._ears.append(client)

    def all_bytes(self, place: str) -> bytes:
        return b"\n".join(subject.encode() + b" " + data for subject, data in self.heard[place])

    def subjects(self, place: str) -> set[str]:
        return {subject for subject, _ in self.heard[place]}


def traced(prefix: Path) -> list[str]:
    """Return the command that starts a process and writes down what it and its children move."""
    return [
        *("strace", "-f", "-ff", "--seccomp-bpf", "-qq", "-xx", "-s", str(STRING_BYTES_MAX)),
        *("-e", f"trace={SYSTEM_CALLS}", "-e", "signal=none", "-o", str(prefix), "--"),
    ]


def moved_bytes(prefix: Path) -> Iterator[bytes]:
    """Yield what each traced process read and wrote, in its order."""
    for trace in sorted(prefix.parent.glob(f"{prefix.name}.*")):
        strings = _ESCAPED.findall(trace.read_bytes())
        yield bytes.fromhex(b"".join(strings).replace(rb"\x", b"").decode())


def file_bytes(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def memory_bytes(process_id: int) -> Iterator[bytes]:
    """Yield the writable memory of a process, as an administrator of its machine reads it.

    Raises:
        PermissionError: This user is no such administrator.
    """
    maps = Path(f"/proc/{process_id}/maps").read_text().splitlines()
    with Path(f"/proc/{process_id}/mem").open("rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(each, 16) for each in span.split("-"))
            if not rights.startswith("rw"):
                continue
            memory.seek(start)
            try:
                yield memory.read(end - start)
            except OSError:
                continue  # a guard page, or a mapping that went away
