"""A device in a process of its own: `python -m tests.e2e.one_call URL PASSWORD DEADLINE_S`.

Prints who scored the reading, or the code of the refusal.
"""

import asyncio
import sys

from mutualedge.app.devices import connect_device
from mutualedge.errors import MutualEdgeError
from mutualedge.model import DeviceId


async def main(url: str, password: str, deadline_s: float) -> str:
    async with await connect_device(url, password) as device:
        try:
            scored = await device.score(DeviceId("crane-1"), [41.7], deadline_s=deadline_s)
        except MutualEdgeError as error:
            return error.code
        return scored.placed


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
