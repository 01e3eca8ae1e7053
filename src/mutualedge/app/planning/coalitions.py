"""``plan coalition``: who should join whom, what that saves, and whether it lasts."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mutualedge.errors import UsageError
from mutualedge.plan.coalition import (
    Coalition,
    Profiles,
    best_partners,
    find_coalitions,
    parse_profiles,
    saved_share,
    split_fairly,
    validate_coalition,
)

SIZES = range(2, 9)


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """What one member of a coalition gets out of it.

    Attributes:
        alone: What it would have to buy.
        saved: What of that it need not, by Shapley's split.
    """

    name: str
    alone: float
    saved: float
    saved_usd_month: float


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One coalition: chosen on the first times, judged on the others.

    Attributes:
        share: Of what the members need one by one, never bought; on the times of choosing.
        proven: Whether no coalition of its size, of those still free, saves more.
        kept_share: The same on the other times.
        short_share: Part of the other times in which what was bought together is not enough.
        stable: Whether no group inside would gain by leaving.
        tempted: The group that would.
    """

    members: tuple[Member, ...]
    share: float
    proven: bool
    kept_share: float
    short_share: float
    stable: bool
    tempted: tuple[str, ...]


class Partner(msgspec.Struct, frozen=True, kw_only=True):
    """With whom one member alone saves the largest share."""

    name: str
    partner: str
    share: float


class Coalitions(msgspec.Struct, frozen=True, kw_only=True):
    """All that ``plan coalition`` tells."""

    chosen_until: str
    proposals: tuple[Proposal, ...]
    partners: tuple[Partner, ...]


def propose(path: Path, members: int, choose_share: float, usd_month_per_unit: float) -> Coalitions:
    """Return coalitions of a size, without common members, and everybody's best partner.

    Args:
        path: CSV of load profiles.
        members: How many each coalition has.
        choose_share: Part of the times that choosing may look at; the others judge.
        usd_month_per_unit: What a unit of the loads costs to own.

    Raises:
        UsageError: File, size or share cannot be used.
    """
    if members not in SIZES:
        sentence = f"A coalition of {members} cannot be searched; ask for 2 to {SIZES.stop - 1}."
        raise UsageError("app.coalition.size", sentence)
    profiles = read_profiles(path)
    times = round(len(profiles.times) * choose_share)
    if not 0 < times < len(profiles.times):
        sentence = f"--choose-on {choose_share:g} leaves no times to choose on or to judge by."
        raise UsageError("app.coalition.times", sentence)
    before = profiles.between(0, times)
    return Coalitions(
        chosen_until=profiles.times[times - 1],
        proposals=tuple(
            _proposal(profiles, found, times, usd_month_per_unit)
            for found in find_coalitions(before, members)
        ),
        partners=tuple(_partners(before)),
    )


def propose_text(
    path: Path, members: int, choose_share: float, usd_month_per_unit: float, *, as_json: bool
) -> str:
    """Return what `propose` does, for a person or as JSON.

    Raises:
        UsageError: As `propose`.
    """
    told = propose(path, members, choose_share, usd_month_per_unit)
    return msgspec.json.encode(told).decode() if as_json else coalitions_text(told)


def coalitions_text(told: Coalitions) -> str:
    """Return proposals and partners for a person."""
    lines = [f"Chosen on the times until {told.chosen_until}, judged on those after it.", ""]
    for number, proposal in enumerate(told.proposals, start=1):
        lines += [*_proposal_lines(number, proposal), ""]
    lines.append(f"{'member':<16}{'best partner alone':<22}saved")
    lines += [f"{each.name:<16}{each.partner:<22}{each.share:.1%}" for each in told.partners]
    return "\n".join(lines)


def read_profiles(path: Path) -> Profiles:
    """Return the load profiles of a CSV file.

    Raises:
        UsageError: It cannot be read, or holds no profiles; the sentence names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}); name a CSV file of load profiles."
        raise UsageError("app.profiles.unreadable", sentence) from error
    return parse_profiles(content, source=str(path))


def _proposal(
    profiles: Profiles, found: Coalition, times: int, usd_month_per_unit: float
) -> Proposal:
    before = profiles.between(0, times)
    split = split_fairly(before, found.members)
    judged = validate_coalition(profiles, found.members, times)
    return Proposal(
        members=tuple(
            Member(
                name=profiles.members[member],
                alone=float(before.peaks[member]),
                saved=saved,
                saved_usd_month=saved * usd_month_per_unit,
            )
            for member, saved in zip(found.members, split.saved, strict=True)
        ),
        share=found.share,
        proven=found.proven,
        kept_share=judged.kept_share,
        short_share=judged.short_share,
        stable=split.stable,
        tempted=tuple(profiles.members[each] for each in split.tempted),
    )


def _partners(profiles: Profiles) -> Iterator[Partner]:
    for member, partner in enumerate(best_partners(profiles)):
        yield Partner(
            name=profiles.members[member],
            partner=profiles.members[partner],
            share=saved_share(profiles, (member, int(partner))),
        )


def _proposal_lines(number: int, proposal: Proposal) -> Iterator[str]:
    best = "the best there is" if proposal.proven else "the best found"
    yield (
        f"{number}. {proposal.share:.1%} need never be bought ({best}); later "
        f"{proposal.kept_share:.1%}, and {proposal.short_share:.2%} of the time the joint "
        "capacity is not enough"
    )
    yield f"   {'member':<16}{'alone':>10}{'saved':>10}{'USD a month':>14}"
    for each in proposal.members:
        yield (
            f"   {each.name:<16}{each.alone:>10.3f}{each.saved:>10.3f}{each.saved_usd_month:>14.2f}"
        )
    if not proposal.stable:
        yield f"   {', '.join(proposal.tempted)} would gain by leaving together"
