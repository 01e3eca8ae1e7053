"""The bare answer beside which a call is measured: ``python -m benchmarks.echo FOLDER``.

A process of its own, like the node it stands in for, on the same server and under the same user.
"""

import asyncio
import sys
from pathlib import Path

import nats
import uvloop
from nats.aio.msg import Msg

from mutualedge.adapters.nats import PasswordLogin, connect
from mutualedge.adapters.nats import Request as NatsRequest
from mutualedge.app.bus import IN_FLIGHT_MAX, NODE_USER
from mutualedge.app.files import NodeFile, read_process_file
from mutualedge.app.local_processes import Processes

BARE_SUBJECT = "me.in.bare"
"""Answered by plain nats-py; a partner asks ``me.at.<enterprise>.bare``."""

ADAPTER_SUBJECT = "me.in.adapter"
"""Answered through our own adapter."""

LISTENING = b"listening\n"


async def _serve(folder: Path) -> None:
    url = Processes.ready(folder).client_url
    password = read_process_file(folder, NodeFile).node_password
    plain = await nats.connect(url, user=NODE_USER, password=password)

    async def respond(message: Msg) -> None:
        await message.respond(message.data)

    async def answer(request: NatsRequest) -> bytes:
        return request.payload

    await plain.subscribe(BARE_SUBJECT, cb=respond)
    await plain.flush()
    login = PasswordLogin(user=NODE_USER, password=password)
    ours = await connect(url, login, name="echo", report=lambda _event, _detail: None)
    await ours.serve(ADAPTER_SUBJECT, answer, max_in_flight=IN_FLIGHT_MAX, timeout_s=1.0)
    sys.stdout.buffer.write(LISTENING)
    sys.stdout.buffer.flush()
    await ours.wait_closed()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(sys.argv[1])))
