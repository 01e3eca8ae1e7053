"""Who should share capacity with whom: joint peaks, what is never bought, and a fair split."""

from mutualedge.plan.coalition.finding import Coalition, find_coalitions
from mutualedge.plan.coalition.partners import best_partners
from mutualedge.plan.coalition.peaks import Profiles, joint_peak, saved_share
from mutualedge.plan.coalition.profile_file import parse_profiles
from mutualedge.plan.coalition.split import Split, split_fairly
from mutualedge.plan.coalition.validation import Validation, validate_coalition

__all__ = [
    "Coalition",
    "Profiles",
    "Split",
    "Validation",
    "best_partners",
    "find_coalitions",
    "joint_peak",
    "parse_profiles",
    "saved_share",
    "split_fairly",
    "validate_coalition",
]
