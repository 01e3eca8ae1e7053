"""One instance of a function: made in advance or when called, used for one call, then gone."""

import ctypes

import wasmtime
from wasmtime import _ffi as c_api

from mutualedge.adapters.wasm.watchdog import Watchdog
from mutualedge.functions import Limits

TABLE_ELEMENTS_MAX = 10_000
"""Entries of a function's tables (8 bytes each): call targets of a large program."""

ADDRESS_MAX = 0xFFFF_FFFF
"""Wasm addresses are unsigned; the library hands out signed integers."""


class Instance:
    """An instance in a store of its own; ``check_interface`` saw to its exports' types.

    The call itself goes to the library's C interface (``wasmtime_func_call``): asking for the
    function's type and converting values, as the library's ``Func`` does at every call, takes
    several times as long as running a short function. Linear memory never moves
    (``memory_may_move``), so its address is taken once.
    """

    def __init__(
        self,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        export: str,
        *,
        limits: Limits,
        fuel: int,
        watchdog: Watchdog,
    ) -> None:
        """Instantiate under these limits; the start function runs on this fuel.

        Raises:
            wasmtime.Trap: The start function trapped.
            wasmtime.WasmtimeError: A limit does not allow the instance.
        """
        self._watchdog = watchdog
        self._store = store = wasmtime.Store(engine)
        store.set_limits(
            memory_size=limits.memory_bytes_max,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1,
            tables=1,
            memories=1,
        )
        store.set_fuel(fuel)
        self.restart_clock()
        self._exports = exports = wasmtime.Instance(store, module, []).exports(store)
        self.start_fuel = fuel - store.get_fuel()
        memory, entry = exports["memory"], exports[export]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(entry, wasmtime.Func)
        self._memory = memory
        self._address = ctypes.addressof(memory.data_ptr(store).contents)
        self._entry = entry
        self._argument = (c_api.wasmtime_val_t * 1)()
        self._argument[0].kind = c_api.WASMTIME_I32
        self._result = (c_api.wasmtime_val_t * 1)()

    def restart_clock(self) -> None:
        """Give what happens from now on the whole wall limit."""
        self._store.set_epoch_deadline(self._watchdog.ticks_max)
        self._watchdog.call_begins()

    @property
    def fuel_left(self) -> int:
        """What remains of the fuel given last."""
        return self._store.get_fuel()

    @property
    def memory_bytes(self) -> int:
        """Size of linear memory, which never shrinks."""
        return self._memory.data_len(self._store)

    def input_start(self) -> int:
        """Return where the function wants its request."""
        start = self._exports["input"]
        assert isinstance(start, wasmtime.Global)
        address: int = start.value(self._store)
        return address & ADDRESS_MAX

    def call(self, request: bytes, input_start: int, fuel: int) -> int:
        """Return what the function returns for a request, which has room at ``input_start``.

        Raises:
            wasmtime.Trap: It trapped.
        """
        assert input_start + len(request) <= self.memory_bytes, "checked when it was loaded"
        self._store.set_fuel(fuel)
        ctypes.memmove(self._address + input_start, request, len(request))
        self._argument[0].of.i32 = len(request)
        self._call_entry()
        packed: int = self._result[0].of.i64
        return packed

    def _call_entry(self) -> None:
        trap = ctypes.POINTER(c_api.wasm_trap_t)()
        error = c_api.wasmtime_func_call(
            self._store._context(),  # noqa: SLF001 - the C interface wants what these wrap
            ctypes.byref(self._entry._func),  # noqa: SLF001 - as above
            self._argument,
            1,
            self._result,
            1,
            ctypes.byref(trap),
        )
        if bool(error):
            raise wasmtime.WasmtimeError._from_ptr(error)  # noqa: SLF001 - as above
        if bool(trap):
            raise wasmtime.Trap._from_ptr(trap)  # noqa: SLF001 - as above

    def output(self, packed: int, bytes_max: int) -> bytes | None:
        """Return what (address << 32 | length) points at, if it lies in memory and is allowed."""
        start, length_bytes = (packed >> 32) & ADDRESS_MAX, packed & ADDRESS_MAX
        if length_bytes > bytes_max or start + length_bytes > self.memory_bytes:
            return None
        return ctypes.string_at(self._address + start, length_bytes)

    def close(self) -> None:
        """Give everything back."""
        self._store.close()
