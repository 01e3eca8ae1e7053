"""Pure functions that remember their answers: a day asks the same again and again.

Runners restart often and calibrate each time; a quote that its requester verified comes to the
auditor again, of the same second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import pytest

from mutualedge.attest import appraisal, verify_sgx_quote
from mutualedge.functions import Execution, LoadedFunction, PythonRuntime, VerifiedBundle


class RememberingFunction:
    """Pure functions may be remembered."""

    def __init__(self, function: LoadedFunction) -> None:
        self._function = function
        self._known: dict[tuple[bytes, int | None], Execution] = {}

    def run(self, request: bytes, fuel_limit: int | None = None) -> Execution:
        key = (request, fuel_limit)
        if key not in self._known:
            if len(self._known) > 64:
                self._known.clear()
            self._known[key] = self._function.run(request, fuel_limit)
        return self._known[key]


class RememberingRuntime:
    """`PythonRuntime` whose functions remember their last answers."""

    name = PythonRuntime.name

    def load(self, bundle: VerifiedBundle) -> RememberingFunction:
        return RememberingFunction(PythonRuntime().load(bundle))


_verify_sgx_quote = lru_cache(maxsize=512)(verify_sgx_quote)


@contextmanager
def remembered_quotes() -> Iterator[None]:
    """Verify each quote once a second at most; every other one is verified as always."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appraisal, "verify_sgx_quote", _verify_sgx_quote)
        yield
