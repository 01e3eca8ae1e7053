"""The runner's process: frames in, frames out, over the one socket it inherited."""

import gc
import os
import select
import socket
import sys
import time

from mutualedge.adapters.tee_sim import SimulatedPlatform
from mutualedge.adapters.wasm import WasmRuntime
from mutualedge.app.measurement import runner_measurement
from mutualedge.identity import parse_trust
from mutualedge.model import AssuranceLevel
from mutualedge.protocol import LENGTH_BYTES, encode_frame, parse_frame_length, parse_order
from mutualedge.runner import Attester, Runner
from mutualedge.signing import Entropy, Envelope, parse_canonical

MEASUREMENT_DIFFERS = 78
"""Exit status: the platform vouches for another runner than this code (EX_CONFIG)."""

QUIET_S = 0.001
"""Without an order for so long we prepare for the next call: until then the node commits and
replies, perhaps on this very processor, which it gets back only when we wait."""

NODE_GONE = 75
"""Exit status: nobody is left to take the answer (EX_TEMPFAIL); another node starts its own."""


def main() -> None:
    """Serve orders on file descriptor ``argv[1]`` until the other end closes it.

    First on the socket come the platform the simulator quotes with and the trust file, each
    behind its length.
    """
    with socket.socket(fileno=int(sys.argv[1])) as node:
        platform = SimulatedPlatform.from_bytes(_read_frame(node) or b"")
        if platform.mr_enclave != runner_measurement():
            sys.stderr.write(
                f"This runner measures {runner_measurement()}, its machine vouches for "
                f"{platform.mr_enclave}: another release; install that one again, or run "
                "'mutualedge renew' once the members adopted this one.\n"
            )
            sys.exit(MEASUREMENT_DIFFERS)
        trust = parse_canonical(_read_frame(node) or b"", Envelope)
        runtime = WasmRuntime()
        runner = Runner(
            consortium=parse_trust(trust),
            runtime=runtime,
            attester=Attester(backend=platform.backend, collect=platform.collect),
            assurance=AssuranceLevel.SIMULATED,
            entropy=Entropy(os.urandom(32)),
            clock_ns=time.thread_time_ns,
        )
        # All that lives for ever is there; a full collection of it takes longer than many orders.
        gc.collect()
        gc.freeze()
        try:
            while (body := _read_frame(node)) is not None:
                node.sendall(encode_frame(runner.handle(parse_order(body))))
                if not select.select([node], [], [], QUIET_S)[0]:
                    runtime.prepare()
        except (BrokenPipeError, ConnectionResetError):
            sys.exit(NODE_GONE)


def _read_frame(node: socket.socket) -> bytes | None:
    """Return the next frame's body, or nothing when the node closed the socket, even midway."""
    prefix = _read(node, LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        return None
    length_bytes = parse_frame_length(prefix)
    body = _read(node, length_bytes)
    return body if len(body) == length_bytes else None


def _read(node: socket.socket, count: int) -> bytes:
    """Return so many bytes, fewer only when the node closed the socket.

    Nothing is read ahead, so that a socket without bytes means that no order waits.
    """
    read = node.recv(count, socket.MSG_WAITALL)
    while 0 < len(read) < count and (more := node.recv(count - len(read))):
        read += more
    return read


if __name__ == "__main__":
    main()
