"""The wasmtime engine behind the runner's port: load once, a fresh instance for every call."""

import time
from collections.abc import Callable

import wasmtime

from mutualedge.adapters.wasm.engine import (
    ENGINE_MAJOR,
    ENGINE_VERSION,
    check_interface,
    compile_module,
    make_engine,
)
from mutualedge.adapters.wasm.watchdog import Watchdog
from mutualedge.errors import PeerError, UsageError
from mutualedge.functions import Execution, ExecutionStatus, Manifest, VerifiedBundle
from mutualedge.model import Digest

FUNCTIONS_MAX = 64
"""Functions one runner holds; each keeps an engine and compiled code of some 100 KiB."""

WALL_LIMIT_MS = 2_000
"""Longest a call may take, whatever its fuel: fuel bounds work, this bounds being kept waiting."""

TABLE_ELEMENTS_MAX = 10_000
"""Entries of a function's tables (8 bytes each): call targets of a large program."""

ADDRESS_MAX = 0xFFFF_FFFF
"""Wasm addresses are unsigned; the library hands out signed integers."""

FUEL_BEYOND_LIMIT = 1
"""Compiled code looks at its fuel at loops and calls only and may overdraw it in between, which
the engine reports as zero left. One unit more tells spent from overdrawn."""

REFUSED = -1
"""What ``run`` returns for a request the function rejects."""

_STATUS_BY_TRAP: dict[wasmtime.TrapCode, ExecutionStatus] = {
    wasmtime.TrapCode.OUT_OF_FUEL: "trap.fuel",
    wasmtime.TrapCode.INTERRUPT: "trap.epoch",
    wasmtime.TrapCode.STACK_OVERFLOW: "trap.stack",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "trap.memory",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "trap.memory",
    wasmtime.TrapCode.UNREACHABLE: "trap.unreachable",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "trap.arithmetic",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "trap.arithmetic",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "trap.arithmetic",
}


class WasmRuntime:
    """Compiles verified bundles; each keeps its own engine and gets a new store per call."""

    def __init__(
        self,
        *,
        wall_limit_ms: int = WALL_LIMIT_MS,
        cpu_clock_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        """Take the wall limit of one call and the clock behind ``Execution.cpu_ns``."""
        self._watchdog = Watchdog(wall_limit_ms)
        self._cpu_clock_ns = cpu_clock_ns
        self._functions: dict[Digest, WasmFunction] = {}

    @property
    def name(self) -> str:
        """``wasmtime/`` and the version: fuel compares only within one."""
        return f"wasmtime/{ENGINE_VERSION}"

    def load(self, bundle: VerifiedBundle) -> "WasmFunction":
        """Return the function of a bundle; the same bundle is compiled once.

        Raises:
            PeerError: The module is invalid, imports something, lacks an export of me-abi/1 or
                does not start within its limits.
            UsageError: The vendor does not vouch for this engine, or too many are loaded.
        """
        known = self._functions.get(bundle.digest)
        if known is not None:
            return known
        manifest = bundle.manifest
        if len(self._functions) >= FUNCTIONS_MAX:
            sentence = f"{FUNCTIONS_MAX} functions are loaded; restart the runner to load others."
            raise UsageError("functions.loaded.too-many", sentence)
        if not manifest.engine.major_min <= ENGINE_MAJOR <= manifest.engine.major_max:
            wanted = f"{manifest.engine.major_min} to {manifest.engine.major_max}"
            sentence = f"{manifest.name} is for wasmtime {wanted}; this runner has {ENGINE_MAJOR}."
            raise UsageError("functions.engine.version", sentence)
        engine = make_engine(manifest.limits)
        module = compile_module(engine, bundle.module, manifest.name)
        check_interface(module, manifest.entry.export, manifest.name)
        self._watchdog.watch(engine)
        function = WasmFunction(
            engine=engine,
            module=module,
            manifest=manifest,
            watchdog=self._watchdog,
            cpu_clock_ns=self._cpu_clock_ns,
        )
        self._functions[bundle.digest] = function
        return function


class WasmFunction:
    """A compiled module under its manifest's limits."""

    def __init__(
        self,
        *,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        manifest: Manifest,
        watchdog: Watchdog,
        cpu_clock_ns: Callable[[], int],
    ) -> None:
        """Take a module whose interface was checked, and instantiate it once.

        Raises:
            PeerError: Its start function traps, its memory exceeds its limit, or a request of
                the allowed size has no room at ``input``.
        """
        self._engine = engine
        self._module = module
        self._export = manifest.entry.export
        self._limits = manifest.limits
        self._watchdog = watchdog
        self._cpu_clock_ns = cpu_clock_ns
        self._input_start = self._probe(manifest.name)

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        """Return how one call went, in an instance of its own that is gone afterwards."""
        started_ns = self._cpu_clock_ns()
        limit = self._limits.fuel_max
        if fuel_limit is not None:
            limit = min(limit, fuel_limit)
        if len(request) > self._limits.input_bytes_max:
            return Execution(status="refused.input", output=b"", fuel=0, memory_bytes=0, cpu_ns=0)
        with self._store(limit + FUEL_BEYOND_LIMIT) as store:
            status, output, memory_bytes = self._run_in(store, request)
            fuel = limit + FUEL_BEYOND_LIMIT - store.get_fuel()
            if fuel > limit:
                fuel, status, output = limit, "trap.fuel", b""
            return Execution(
                status=status,
                output=output,
                fuel=fuel,
                memory_bytes=memory_bytes,
                cpu_ns=self._cpu_clock_ns() - started_ns,
            )

    def _run_in(self, store: wasmtime.Store, request: bytes) -> tuple[ExecutionStatus, bytes, int]:
        instance: _Instance | None = None
        try:
            instance = _Instance(store, self._module, self._export)
            packed = instance.call(request, self._input_start)
        except wasmtime.Trap as trap:
            return _status_of(trap), b"", instance.memory_bytes if instance else 0
        if packed == REFUSED:
            return "refused", b"", instance.memory_bytes
        output = instance.output(packed, self._limits.output_bytes_max)
        if output is None:
            return "trap.output", b"", instance.memory_bytes
        return "ok", output, instance.memory_bytes

    def _probe(self, name: str) -> int:
        """Return where requests go, which is the same in every instance."""
        with self._store(self._limits.fuel_max) as store:
            try:
                instance = _Instance(store, self._module, self._export)
            except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
                reason = str(error).splitlines()[0]
                sentence = f"{name} does not start within its limits: {reason}."
                raise PeerError("functions.module.start", sentence) from error
            input_start = instance.input_start()
            if input_start + self._limits.input_bytes_max > instance.memory_bytes:
                sentence = f"{name} has no room for {self._limits.input_bytes_max} bytes at input."
                raise PeerError("functions.module.input", sentence)
            return input_start

    def _store(self, fuel: int) -> wasmtime.Store:
        store = wasmtime.Store(self._engine)
        store.set_limits(
            memory_size=self._limits.memory_bytes_max,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1,
            tables=1,
            memories=1,
        )
        store.set_fuel(fuel)
        store.set_epoch_deadline(self._watchdog.ticks_max)
        self._watchdog.call_begins()
        return store


class _Instance:
    """An instance and its exports; ``check_interface`` saw to their types."""

    def __init__(self, store: wasmtime.Store, module: wasmtime.Module, export: str) -> None:
        self._store = store
        self._exports = wasmtime.Instance(store, module, []).exports(store)
        memory, entry = self._exports["memory"], self._exports[export]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(entry, wasmtime.Func)
        self._memory = memory
        self._entry = entry

    @property
    def memory_bytes(self) -> int:
        return self._memory.data_len(self._store)

    def input_start(self) -> int:
        start = self._exports["input"]
        assert isinstance(start, wasmtime.Global)
        address: int = start.value(self._store)
        return address & ADDRESS_MAX

    def call(self, request: bytes, input_start: int) -> int:
        self._memory.write(self._store, bytearray(request), input_start)
        packed: int = self._entry(self._store, len(request))
        return packed

    def output(self, packed: int, bytes_max: int) -> bytes | None:
        """Return what (address << 32 | length) points at, if it lies in memory and is allowed."""
        start, length_bytes = (packed >> 32) & ADDRESS_MAX, packed & ADDRESS_MAX
        end = start + length_bytes
        if length_bytes > bytes_max or end > self.memory_bytes:
            return None
        return bytes(self._memory.read(self._store, start, end))


def _status_of(trap: wasmtime.Trap) -> ExecutionStatus:
    code = trap.trap_code
    return "trap.other" if code is None else _STATUS_BY_TRAP.get(code, "trap.other")
