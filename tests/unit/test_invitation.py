"""An invitation survives being copied by people, and says so when it did not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualedge.app.membership.invitation import Invitation, invitation_text, parse_invitation
from mutualedge.errors import UsageError
from mutualedge.model import Digest, EnterpriseId, Instant

INVITATION = Invitation(
    consortium=EnterpriseId("valley"),
    enterprise=EnterpriseId("logistics"),
    founding=Digest("ab" * 32),
    host="hub.example",
    leaf_port=7422,
    office_port=7423,
    root_pem="-----BEGIN CERTIFICATE-----",
    secret=b"s" * 32,
    expires=Instant("2026-11-27T08:00:00.000Z"),
)


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as refused:
        parse_invitation(text)
    return refused.value.code


def test_it_survives_line_breaks() -> None:
    """Mail programs fold long words; whatever they fold comes back whole."""
    text = invitation_text(INVITATION)
    folded = "\n ".join(text[start : start + 60] for start in range(0, len(text), 60))
    assert parse_invitation(f"  {folded}\n") == INVITATION


@given(st.integers(min_value=0), st.characters(codec="ascii", exclude_categories=("C", "Z")))
def test_a_wrong_letter_is_noticed(place: int, letter: str) -> None:
    """One letter changed anywhere: refused as not copied whole, never read as another."""
    text = invitation_text(INVITATION)
    at = place % len(text)
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        assert refusal(changed) == "membership.invitation.broken"


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_sentence(text: str) -> None:
    """Nothing that is no invitation raises anything else."""
    assert refusal(text) == "membership.invitation.broken"


def test_half_of_it_is_refused() -> None:
    """The commonest mistake has its own sentence."""
    text = invitation_text(INVITATION)
    assert refusal(text[: len(text) // 2]) == "membership.invitation.broken"
