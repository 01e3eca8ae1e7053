"""Everybody's best partner: all pairs at once."""

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.coalition.peaks import Floats, Profiles


def pair_shares(profiles: Profiles) -> Floats:
    """Return the saved share of every pair, shape (members, members); 0 with oneself."""
    members = len(profiles.members)
    shares = np.zeros((members, members))
    peaks = profiles.peaks
    for one in range(members - 1):
        joint = (profiles.loads[one + 1 :] + profiles.loads[one]).max(axis=1)
        alone = peaks[one + 1 :] + peaks[one]
        saved = 1 - np.divide(joint, alone, out=np.ones_like(joint), where=alone > 0)
        shares[one, one + 1 :] = shares[one + 1 :, one] = saved
    return shares


def best_partners(profiles: Profiles) -> NDArray[np.intp]:
    """Return for each member with whom alone it saves the largest share, shape (members,)."""
    shares = pair_shares(profiles)
    np.fill_diagonal(shares, -np.inf)
    partners: NDArray[np.intp] = np.argmax(shares, axis=1)
    return partners
