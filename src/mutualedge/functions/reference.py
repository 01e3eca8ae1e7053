"""The second engine: the built-in function in Python, for simulations and as the oracle."""

from mutualedge.errors import UsageError
from mutualedge.functions.anomaly import respond
from mutualedge.functions.builtin import ANOMALY_MODULE_DIGEST
from mutualedge.functions.bundle import Limits, VerifiedBundle
from mutualedge.functions.runtime import Execution
from mutualedge.signing import digest_of

FUEL_PER_CALL = 400
FUEL_PER_BYTE = 15
"""Roughly what wasmtime counts; only sameness on repetition matters, engines never mix."""

MEMORY_BYTES = 65_536
"""One page, as the module declares."""


class PythonRuntime:
    """Knows exactly one module, the built-in one, by its digest."""

    @property
    def name(self) -> str:
        """Its own name: its fuel compares with no other engine's."""
        return "python-reference/1"

    def load(self, bundle: VerifiedBundle) -> "ReferenceFunction":
        """Return the built-in function under the bundle's limits.

        Raises:
            UsageError: The bundle's module is another one.
        """
        if digest_of(bundle.module) != ANOMALY_MODULE_DIGEST:
            sentence = f"The reference engine knows only 'anomaly', not '{bundle.manifest.name}'."
            raise UsageError("functions.reference.unknown", sentence)
        return ReferenceFunction(bundle.manifest.limits)


class ReferenceFunction:
    """The anomaly function with a fuel count that depends on the request's length alone."""

    def __init__(self, limits: Limits) -> None:
        """Take the limits every call runs under."""
        self._limits = limits

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        """Return the response, or why there is none."""
        limit = self._limits.fuel_max
        if fuel_limit is not None:
            limit = min(limit, fuel_limit)
        if len(request) > self._limits.input_bytes_max:
            return Execution(status="refused.input", output=b"", fuel=0, memory_bytes=0, cpu_ns=0)
        fuel = FUEL_PER_CALL + FUEL_PER_BYTE * len(request)
        if fuel > limit:
            return Execution(
                status="trap.fuel", output=b"", fuel=limit, memory_bytes=MEMORY_BYTES, cpu_ns=0
            )
        response = respond(request)
        return Execution(
            status="refused" if response is None else "ok",
            output=response or b"",
            fuel=fuel,
            memory_bytes=MEMORY_BYTES,
            cpu_ns=0,
        )
