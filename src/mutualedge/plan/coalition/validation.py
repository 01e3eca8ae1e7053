"""Whether a coalition that was chosen on some months keeps its promise in others."""

from collections.abc import Sequence
from dataclasses import dataclass

from mutualedge.plan.coalition.peaks import Profiles, joint_peak, saved_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A coalition over times that were not used for choosing it.

    Attributes:
        promised_share: Saved over the times it was chosen on.
        kept_share: Saved over the other times, by the same measure.
        short_share: Part of the other times in which the members need more together than their
            joint peak of before: then they rent, or wait.
        short_most: By how much at the worst of them, as a share of that joint peak.
    """

    promised_share: float
    kept_share: float
    short_share: float
    short_most: float


def validate_coalition(profiles: Profiles, members: Sequence[int], chosen_on: int) -> Validation:
    """Return how a coalition fares after the times it was chosen on.

    Args:
        profiles: All times.
        members: Of the coalition.
        chosen_on: How many of the first times it was chosen on; the others judge.
    """
    before = profiles.between(0, chosen_on)
    after = profiles.between(chosen_on, len(profiles.times))
    bought = joint_peak(before, members)
    needed = after.loads[list(members)].sum(axis=0)
    return Validation(
        promised_share=saved_share(before, members),
        kept_share=saved_share(after, members),
        short_share=float((needed > bought).mean()),
        short_most=max(float(needed.max()) / bought - 1, 0.0) if bought > 0 else 0.0,
    )
