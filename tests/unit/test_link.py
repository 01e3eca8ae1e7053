"""The credentials of a node's link: renewed each day while it runs, told about where that fails."""

import time
from pathlib import Path

from mutualedge.adapters.nats import link_ends_ns, renew_link
from mutualedge.app.accounts import CREDENTIALS_LIFE_NS
from mutualedge.app.expiries import link_expiry, running_expiries
from mutualedge.app.files import NodeFile, read_process_file
from mutualedge.app.founding import found_consortium
from mutualedge.app.link import keep_link, link_credentials
from mutualedge.app.plant import CANDY, founding
from mutualedge.app.processes import NATS_FOLDER
from mutualedge.app.status import DAYS_LOW, NS_PER_DAY
from mutualedge.model import NS_PER_S

HOUR_NS = 3_600 * NS_PER_S


def linked(tmp_path: Path) -> tuple[NodeFile, Path, int]:
    """Return a founded node, its folder with credentials in it, and when those were made."""
    found_consortium(founding(), tmp_path / "local")
    own = tmp_path / "local" / CANDY
    told = read_process_file(own, NodeFile)
    (own / NATS_FOLDER).mkdir()
    now_ns = time.time_ns() // NS_PER_S * NS_PER_S
    renew_link(own / NATS_FOLDER, link_credentials(told, now_ns))
    return told, own, now_ns


def test_credentials_of_today_stay(tmp_path: Path) -> None:
    """The file is written once a day, not at each look, and nothing is said."""
    told, own, now_ns = linked(tmp_path)
    before = (own / NATS_FOLDER / "leaf.creds").read_bytes()
    assert not keep_link(told, own, now_ns + 23 * HOUR_NS)
    assert (own / NATS_FOLDER / "leaf.creds").read_bytes() == before


def test_a_node_that_runs_for_long_renews_its_credentials(tmp_path: Path) -> None:
    """Whenever its link is cut, what it links with lasts for ninety days less one."""
    told, own, now_ns = linked(tmp_path)
    for day in range(1, 200):
        notes = keep_link(told, own, now_ns + day * NS_PER_DAY)
        assert "link" not in {dict(each.fields)["what"] for each in notes}
        ends_ns = link_ends_ns(own / NATS_FOLDER)
        assert ends_ns == now_ns + day * NS_PER_DAY + CREDENTIALS_LIFE_NS


def test_what_else_expires_is_told_every_day(tmp_path: Path) -> None:
    """A node that is not started again warns of its certificate all the same."""
    told, own, now_ns = linked(tmp_path)
    later_ns = now_ns + CREDENTIALS_LIFE_NS - (DAYS_LOW - 1) * NS_PER_DAY
    for again in (0, 1):
        notes = keep_link(told, own, later_ns + again * NS_PER_DAY)
        assert {each.name for each in notes} == {"credentials.expiring"}
        assert "certificate" in {dict(each.fields)["what"] for each in notes}
        assert not keep_link(told, own, later_ns + again * NS_PER_DAY + HOUR_NS)


def test_lost_credentials_are_made_again(tmp_path: Path) -> None:
    """Whatever stands in the file."""
    told, own, now_ns = linked(tmp_path)
    credentials = own / NATS_FOLDER / "leaf.creds"
    for spoil in (lambda: credentials.write_text("no\ntoken\n"), credentials.unlink):
        spoil()
        assert "link" not in {each.what for each in running_expiries(told, own)}
        assert not keep_link(told, own, now_ns)
        assert link_ends_ns(own / NATS_FOLDER) == now_ns + CREDENTIALS_LIFE_NS


def test_a_renewal_that_fails_is_told_before_the_end(tmp_path: Path) -> None:
    """With what to do; the end of the credentials is told too once it is near."""
    told, own, now_ns = linked(tmp_path)
    (own / NATS_FOLDER / "leaf.creds.new").mkdir()
    (note,) = keep_link(told, own, now_ns + 2 * NS_PER_DAY)
    assert note.name == "credentials.not_renewed"
    assert "leaf.creds.new" in str(dict(note.fields)["why"])
    near_ns = now_ns + CREDENTIALS_LIFE_NS - NS_PER_DAY
    told_of = {dict(each.fields).get("what") for each in keep_link(told, own, near_ns)}
    assert "link" in told_of
    expiry = link_expiry(told, own)
    assert expiry.ends_ns == now_ns + CREDENTIALS_LIFE_NS
    assert expiry.advice == f"Start the node of {CANDY} again: that makes new ones."
