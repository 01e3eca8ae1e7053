"""A setting is written where it belongs, and nothing else in the file changes."""

from pathlib import Path

import pytest

from mutualedge.app.choosing import choose_settings, with_setting
from mutualedge.app.founding import HUB, found_consortium
from mutualedge.app.options import SETTINGS_FILE, HubOptions, NodeOptions
from mutualedge.app.settings import read_options
from mutualedge.errors import UsageError
from tests.e2e.plant import BAKERY, founding

FILE = "# Ours.\n[timing]\nwindow_calls = 32  # few\n\n[lending]\nbudget_ms = 20\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A consortium's folder, founded and never started."""
    found_consortium(founding(lease_ms=4_000), tmp_path / "trial")
    return tmp_path / "trial"


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("lending", "budget_ms", FILE.replace("budget_ms = 20", "budget_ms = 7")),
        ("lending", "period_ms", FILE.replace("[lending]\n", "[lending]\nperiod_ms = 7\n")),
        ("borrowing", "lease_ms", f"{FILE}\n[borrowing]\nlease_ms = 7\n"),
        ("timing", "budget_ms", FILE.replace("[timing]\n", "[timing]\nbudget_ms = 7\n")),
    ],
)
def test_one_line_changes(section: str, name: str, expected: str) -> None:
    """A setting that stands there is replaced, another one comes to its section."""
    assert with_setting(FILE, section, name, "7") == expected


def test_what_is_chosen_counts(folder: Path) -> None:
    """Numbers, lists and texts are written as the file has them, and what counts is told."""
    own = folder / BAKERY
    told = choose_settings(own, ("borrowing.lease_ms=900", 'borrowing.providers=["mill"]'))
    options = read_options(own, NodeOptions)
    assert options.borrowing is not None
    assert (options.borrowing.lease_ms, options.borrowing.providers) == (900, ("mill",))
    assert told == ("borrowing.lease_ms = 900", 'borrowing.providers = ["mill"]')


def test_a_hub_has_settings_too(folder: Path) -> None:
    """Its sections are its own."""
    choose_settings(folder / HUB, ("network.leaf_host=localhost",))
    assert read_options(folder / HUB, HubOptions).network.leaf_host == "localhost"


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("borrowing.lease_ms=-1", "app.settings.malformed"),
        ("network.hub_port=99999", "app.settings.malformed"),
        ("network.office_port=0", "app.settings.malformed"),
        ("lending.price_microcredits=1000001", "app.settings.malformed"),
        ("borrowing.rent=1", "app.settings.unknown"),
        ("borrowing", "app.settings.malformed"),
    ],
)
def test_all_of_it_or_nothing(folder: Path, flag: str, code: str) -> None:
    """What cannot be leaves the file as it was, whatever else was chosen."""
    own = folder / BAKERY
    before = (own / SETTINGS_FILE).read_bytes()
    with pytest.raises(UsageError) as refused:
        choose_settings(own, ("timing.window_calls=8", flag))
    assert refused.value.code == code
    assert (own / SETTINGS_FILE).read_bytes() == before
    assert not (own / f"{SETTINGS_FILE}.new").exists()


def test_a_value_over_several_lines_is_left_to_an_editor(folder: Path) -> None:
    """Half of it would stay behind."""
    path = folder / BAKERY / SETTINGS_FILE
    path.write_text('[borrowing]\nproviders = [\n  "mill",\n]\n', "utf-8")
    with pytest.raises(UsageError) as refused:
        choose_settings(folder / BAKERY, ("borrowing.providers=[]",))
    assert refused.value.code == "app.settings.spread"
