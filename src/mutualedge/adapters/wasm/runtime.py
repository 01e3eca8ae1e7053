"""The wasmtime engine behind the runner's port: load once, a fresh instance for every call.

Making an instance takes longer than a short call, so ``WasmRuntime.prepare`` makes
the next one while nobody waits. Each job then does its successor's part: together they take no
longer than if each made its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import wasmtime

from mutualedge.adapters.wasm.engine import (
    ENGINE_MAJOR,
    ENGINE_VERSION,
    check_interface,
    compile_module,
    make_engine,
)
from mutualedge.adapters.wasm.instance import Instance
from mutualedge.adapters.wasm.watchdog import Watchdog
from mutualedge.errors import PeerError, UsageError
from mutualedge.functions import Execution, ExecutionStatus, Manifest, VerifiedBundle
from mutualedge.model import Digest

FUNCTIONS_MAX = 64
"""Functions one runner holds; each keeps an engine and compiled code of some 100 KiB."""

WALL_LIMIT_MS = 2_000
"""Longest a call may take, whatever its fuel: fuel bounds work, this bounds being kept waiting."""

START_FUEL_MAX = 10_000
"""A start function that takes more, some ten microseconds, is not run before its call: nobody's
budget would pay for it."""

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


@dataclass(slots=True)
class _Spare:
    """What happens to instances while nobody waits: one is made ahead, one that served is closed.

    Attributes:
        function: The one called last, for which an instance is made ahead.
        ready: That instance.
        used: The last call's instance; closed before there is another one.
    """

    function: "WasmFunction | None" = None
    ready: Instance | None = None
    used: Instance | None = None

    def take(self, function: "WasmFunction") -> Instance | None:
        """Return the instance if one is ready for this function; whatever else is left goes."""
        instance = self.ready if self.function is function else None
        if instance is None:
            self.close()
        else:
            instance.restart_clock()
        self.function, self.ready = function, None
        return instance

    def close(self) -> None:
        """Give both instances back, before memory for another one is asked for."""
        for instance in (self.ready, self.used):
            if instance is not None:
                instance.close()
        self.ready = self.used = None


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
        self._spare = _Spare()

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
            spare=self._spare,
        )
        self._functions[bundle.digest] = function
        return function

    def prepare(self) -> None:
        """Close the last call's instance and make the next one's; call it while nobody waits."""
        function = self._spare.function
        if function is not None and self._spare.ready is None:
            self._spare.close()
            self._spare.ready = function.instance_ahead()


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
        spare: _Spare,
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
        self._spare = spare
        self._input_start, self._start_fuel = self._probe(manifest.name)

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        """Return how one call went, in an instance of its own that serves no other call."""
        started_ns = self._cpu_clock_ns()
        limit = self._limits.fuel_max
        if fuel_limit is not None:
            limit = min(limit, fuel_limit)
        status, output, fuel, memory_bytes = self._run(request, limit)
        return Execution(
            status=status,
            output=output,
            fuel=fuel,
            memory_bytes=memory_bytes,
            cpu_ns=self._cpu_clock_ns() - started_ns,
        )

    def _run(self, request: bytes, limit: int) -> tuple[ExecutionStatus, bytes, int, int]:
        """Return status, output, fuel and memory of a call that has this much fuel."""
        if len(request) > self._limits.input_bytes_max:
            return "refused.input", b"", 0, 0
        fuel = limit + FUEL_BEYOND_LIMIT - self._start_fuel
        if fuel <= 0:
            return "trap.fuel", b"", limit, 0
        try:
            instance = self._spare.take(self) or self._instance()
        except wasmtime.Trap as trap:
            return _status_of(trap), b"", self._start_fuel, 0
        status, output = self._call(instance, request, fuel)
        spent = limit + FUEL_BEYOND_LIMIT - instance.fuel_left
        memory_bytes = instance.memory_bytes
        self._spare.used = instance
        if spent > limit:
            return "trap.fuel", b"", limit, memory_bytes
        return status, output, spent, memory_bytes

    def _call(self, instance: Instance, request: bytes, fuel: int) -> tuple[ExecutionStatus, bytes]:
        try:
            packed = instance.call(request, self._input_start, fuel)
        except wasmtime.Trap as trap:
            return _status_of(trap), b""
        if packed == REFUSED:
            return "refused", b""
        output = instance.output(packed, self._limits.output_bytes_max)
        return ("trap.output", b"") if output is None else ("ok", output)

    def _instance(self) -> Instance:
        """Return a new instance; its start function needs what it needed when it was loaded."""
        return Instance(
            self._engine,
            self._module,
            self._export,
            limits=self._limits,
            fuel=self._limits.fuel_max,
            watchdog=self._watchdog,
        )

    def instance_ahead(self) -> Instance | None:
        """Return a new instance for a later call, unless starting it is work worth mentioning."""
        return self._instance() if self._start_fuel <= START_FUEL_MAX else None

    def _probe(self, name: str) -> tuple[int, int]:
        """Return where requests go and what starting takes: both the same in every instance."""
        try:
            instance = self._instance()
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            reason = str(error).splitlines()[0]
            sentence = f"{name} does not start within its limits: {reason}."
            raise PeerError("functions.module.start", sentence) from error
        input_start = instance.input_start()
        if input_start + self._limits.input_bytes_max > instance.memory_bytes:
            sentence = f"{name} has no room for {self._limits.input_bytes_max} bytes at input."
            raise PeerError("functions.module.input", sentence)
        instance.close()
        return input_start, instance.start_fuel


def _status_of(trap: wasmtime.Trap) -> ExecutionStatus:
    code = trap.trap_code
    return "trap.other" if code is None else _STATUS_BY_TRAP.get(code, "trap.other")
