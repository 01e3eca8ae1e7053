"""Load over time, and how much less several members need together than each alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Load of every member at the same times.

    Attributes:
        members: Their names.
        loads: Shape (members, times), not negative, in one unit for all.
        times: As they stood in the file, shape (times,).
    """

    members: tuple[str, ...]
    loads: Floats
    times: tuple[str, ...]

    @property
    def peaks(self) -> Floats:
        """What each member needs alone."""
        peaks: Floats = self.loads.max(axis=1)
        return peaks

    def between(self, first: int, last: int) -> "Profiles":
        """Return the part from one index of time up to before another."""
        return Profiles(
            members=self.members, loads=self.loads[:, first:last], times=self.times[first:last]
        )


def joint_peak(profiles: Profiles, members: Sequence[int]) -> float:
    """Return what these members need together, at their busiest time."""
    return float(profiles.loads[list(members)].sum(axis=0).max())


def saved_share(profiles: Profiles, members: Sequence[int]) -> float:
    """Return which part of what they need one by one these members never have to buy."""
    alone = float(profiles.peaks[list(members)].sum())
    return 1 - joint_peak(profiles, members) / alone if alone > 0 else 0.0
