"""What the doctor says expires at a hub: leaves that count, and none that nobody needs any more."""

from pathlib import Path

import msgspec

from mutualedge.adapters.nats import renew_link
from mutualedge.adapters.sqlite import SqliteStore
from mutualedge.app.accounts import account_key, open_door
from mutualedge.app.doctor.consortium import expiries
from mutualedge.app.files import STORE_FILE, HubFile, NodeFile, read_process_file
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.link import link_credentials
from mutualedge.app.plant import CANDY, LOGISTICS, founding
from mutualedge.app.processes import NATS_FOLDER
from mutualedge.consortium.enrolment import ACTIVATION_BUCKET
from mutualedge.model import NS_PER_S, EnterpriseId
from mutualedge.protocol import Write

GONE = EnterpriseId("gone")
LONG_AGO_NS = 1


def founded_hub(folder: Path) -> tuple[Path, HubFile]:
    found_consortium(founding(), folder / "local")
    own = folder / "local" / HUB
    return own, read_process_file(own, HubFile)


def test_a_hub_that_never_ran_has_the_leaves_of_its_founding(tmp_path: Path) -> None:
    """Before its first start there is no store, and nothing is wrong."""
    own, told = founded_hub(tmp_path)
    assert [each.of for each in expiries(own, told)] == [CANDY, LOGISTICS]


def test_the_link_of_a_node_counts_while_it_runs(tmp_path: Path) -> None:
    """Its next start makes other credentials; those of the last one are nobody's concern."""
    found_consortium(founding(), tmp_path / "local")
    own = tmp_path / "local" / CANDY
    told = read_process_file(own, NodeFile)
    (own / NATS_FOLDER).mkdir()
    renew_link(own / NATS_FOLDER, link_credentials(told, NS_PER_S))
    stopped, running = (
        {each.what for each in expiries(own, told, is_running=up)} for up in (False, True)
    )
    assert running - stopped == {"link"}


def test_leaves_for_who_left_are_nobodys_concern(tmp_path: Path) -> None:
    """They run out and nothing renews them; those between members count as before."""
    own, told = founded_hub(tmp_path)
    before = list(expiries(own, told))
    stale = open_door(account_key(told.account_seed), account_key(bytes(32)).public, LONG_AGO_NS)
    with SqliteStore(own / STORE_FILE) as store:
        store.commit(
            [
                Write(bucket=ACTIVATION_BUCKET, key=way, value=stale.encode())
                for way in (f"{CANDY}/{GONE}", f"{GONE}/{CANDY}")
            ]
        )
    assert msgspec.json.encode(list(expiries(own, told))) == msgspec.json.encode(before)
