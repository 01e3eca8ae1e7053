"""Settings that hold for every test; fixtures live beside the tests that use them."""

from hypothesis import settings

# The same examples in every run, so that a failure of `make test` repeats; no time limit for one
# example, because a loaded machine is not a fault of the code.
settings.register_profile("repeatable", derandomize=True, deadline=None)
# New examples in every run: `pytest --hypothesis-profile=explore`.
settings.register_profile("explore", max_examples=2_000, deadline=None, print_blob=True)
settings.load_profile("repeatable")
