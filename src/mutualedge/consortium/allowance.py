"""How much each member may ask of what costs everybody."""

from collections import Counter
from collections.abc import Iterable

from mutualedge.model import NS_PER_S, EnterpriseId


class Allowance:
    """A bucket of tokens per member, filled evenly; one ask takes all it needs or none.

    A bucket is kept as a time: what it holds is what comes back in a second times the seconds since
    then, and never more than a full one.
    """

    def __init__(self, *, burst: int, per_s: int) -> None:
        """Fill every member's bucket.

        Args:
            burst: Tokens of a full bucket.
            per_s: Tokens that come back in a second.
        """
        self._token_ns = NS_PER_S // per_s
        self._full_ns = burst * self._token_ns
        self._empty_ns: dict[EnterpriseId, int] = {}

    def take(self, members: Iterable[EnterpriseId], now_ns: int) -> bool:
        """Take a token for each mention of a member; tell whether all had enough.

        Args:
            members: Who asks, as often as it asks.
            now_ns: A clock; one that is set back fills the buckets.
        """
        taken = {
            member: self._since_ns(member, now_ns) + count * self._token_ns
            for member, count in Counter(members).items()
        }
        is_enough = all(since_ns <= now_ns for since_ns in taken.values())
        if is_enough:
            self._empty_ns.update(taken)
        return is_enough

    def _since_ns(self, member: EnterpriseId, now_ns: int) -> int:
        since_ns = self._empty_ns.get(member, 0)
        return max(since_ns if since_ns <= now_ns else 0, now_ns - self._full_ns)
