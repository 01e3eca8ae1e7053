"""Ends calls that outlive their wall time: one thread that advances the engines' epochs."""

import threading

import wasmtime

TICK_MS = 20
"""Between two epochs: how coarse wall limits are, for 50 wake-ups a second while calls run."""


class Watchdog:
    """Ticks while calls happen and sleeps otherwise.

    Compiled code compares its engine's epoch at every loop and function entry. The interpreter's
    lock is free while wasm runs, so this thread gets its turn on the same processor too.
    """

    def __init__(self, wall_limit_ms: int) -> None:
        """Prepare; the thread starts with the first call."""
        self.ticks_max = -(-wall_limit_ms // TICK_MS) + 1
        """Epochs after which the limit has certainly passed: the first may come at once."""
        self._engines: list[wasmtime.Engine] = []
        self._called = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, engine: wasmtime.Engine) -> None:
        """Advance this engine's epoch from now on; the list keeps it alive."""
        self._engines.append(engine)

    def call_begins(self) -> None:
        """Make sure that ticks come until this call's limit has passed."""
        if self._thread is None:
            # A daemon: it holds nothing that an ending process would have to save.
            self._thread = threading.Thread(target=self._tick, name="epochs", daemon=True)
            self._thread.start()
        # What is set already is cleared before the ticks that follow it, which are enough for this.
        if not self._called.is_set():
            self._called.set()

    def _tick(self) -> None:
        pause = threading.Event()
        while True:
            self._called.wait()
            # A call that begins during these ticks sets the event again and gets its own.
            self._called.clear()
            for _ in range(self.ticks_max):
                pause.wait(TICK_MS / 1000)
                for engine in tuple(self._engines):
                    engine.increment_epoch()
