"""Which settings count, and what is said about those that cannot."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from mutualedge.app.options import (
    BorrowingSettings,
    HubNetwork,
    HubOptions,
    LendingSettings,
    NodeNetwork,
    NodeOptions,
    settings_text,
    write_settings,
)
from mutualedge.app.settings import Settled, explanation_text, read_settled, settle
from mutualedge.errors import UsageError
from mutualedge.model import EnterpriseId, Milliseconds

PATH = Path("settings.toml")
FILE: dict[str, object] = {"network": {"hub_port": 7422}, "timing": {"follow_every_ms": 300}}
VARIABLE = "MUTUALEDGE_TIMING_FOLLOW_EVERY_MS"


def settled(
    file: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    *flags: str,
) -> Settled[NodeOptions]:
    return settle(NodeOptions, PATH, FILE if file is None else file, environment or {}, flags)


def origin_of(name: str, told: Settled[NodeOptions]) -> str:
    (found,) = (each.origin for each in told.origins if each.name == name)
    return found


def refusal(*flags: str, file: dict[str, object] | None = None, **environment: str) -> UsageError:
    with pytest.raises(UsageError) as refused:
        settled(file, environment, *flags)
    return refused.value


def test_later_places_win_and_are_named() -> None:
    """Default, file, environment, flag: the last one that speaks counts."""
    name, flag = "timing.follow_every_ms", "timing.follow_every_ms=500"
    for told, value, origin in (
        (settled({"network": {"hub_port": 1}}), 1000, "default"),
        (settled(), 300, "settings.toml"),
        (settled(None, {VARIABLE: "400"}), 400, VARIABLE),
        (settled(None, {VARIABLE: "400"}, flag), 500, "--set"),
    ):
        assert (told.options.timing.follow_every_ms, origin_of(name, told)) == (value, origin)


def test_an_absent_section_means_that_a_node_does_not_do_it() -> None:
    """An empty section means that it does, as the defaults have it."""
    assert settled().options.lending is None
    assert settled({**FILE, "lending": {}}).options.lending == LendingSettings()


def test_lists_and_texts_are_read_alike_from_everywhere() -> None:
    """A flag takes a list as the file writes it, and a text without quotes."""
    told = settled(None, {}, 'borrowing.providers=["harbour"]', "network.hub_host=hub.example")
    assert told.options.borrowing == BorrowingSettings(providers=(EnterpriseId("harbour"),))
    assert told.options.network.hub_host == "hub.example"


def test_what_is_written_reads_the_same() -> None:
    """A settings file that founding writes says exactly what it was given."""
    node = NodeOptions(
        network=NodeNetwork(hub_port=7422),
        lending=LendingSettings(),
        borrowing=BorrowingSettings(
            providers=(EnterpriseId("a"), EnterpriseId("b")), lease_ms=Milliseconds(5)
        ),
    )
    hub = HubOptions(network=HubNetwork(leaf_port=7422))
    assert settle(NodeOptions, PATH, tomllib.loads(settings_text(node)), {}, ()).options == node
    assert settle(HubOptions, PATH, tomllib.loads(settings_text(hub)), {}, ()).options == hub


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("timing.folow_every_ms=3",), "app.settings.unknown", "'timing.folow_every_ms=3'"),
        (("weather.rain=3",), "app.settings.unknown", "network, timing, lending, borrowing"),
        (("timing",), "app.settings.malformed", "write SECTION.NAME=VALUE"),
        (("timing.follow_every_ms=soon",), "app.settings.malformed", "--set: Expected `int`"),
        (
            ("borrowing.lease_ms=10000", "borrowing.renew_before_ms=10000"),
            "app.settings.malformed",
            "renew_before_ms (10000) must be less than lease_ms",
        ),
        (("timing.window_calls=0",), "app.settings.malformed", "$.timing.window_calls"),
        (("borrowing.providers=harbour",), "app.settings.malformed", "borrowing.providers"),
    ],
)
def test_a_wrong_flag_is_quoted(flags: tuple[str, ...], code: str, said: str) -> None:
    """The sentence shows what was written and what would be right."""
    refused = refusal(*flags)
    assert refused.code == code
    assert said in refused.sentence


def test_a_wrong_variable_is_named() -> None:
    """A misspelt variable is not passed over; one of the other kind of process is."""
    refused = refusal(MUTUALEDGE_TIMING_FOLOW="3")
    assert (refused.code, "MUTUALEDGE_TIMING_FOLOW" in refused.sentence) == (
        "app.settings.unknown",
        True,
    )
    assert refusal(MUTUALEDGE_NETWORK_HUB_PORT="x").sentence.startswith("MUTUALEDGE_NETWORK_HUB")
    told = settled(None, {"MUTUALEDGE_NETWORK_LEAF_PORT": "1", "HOME": "/"})
    assert told == settled()


def test_a_variable_does_not_bring_a_section_back() -> None:
    """Who leaves lends and borrows nothing any more, whatever the environment says of prices."""
    variables = {"MUTUALEDGE_LENDING_BUDGET_MS": "30", "MUTUALEDGE_BORROWING_LEASE_MS": "60000"}
    network = {"network": FILE["network"]}
    told = settled(network, variables).options
    assert (told.lending, told.borrowing) == (None, None)
    told = settled({**network, "lending": {}}, variables).options
    assert told.lending is not None
    assert told.lending.budget_ms == 30


@pytest.mark.parametrize("file", [{"network": 3}, {"network": {"hub_port": 1, "x": 2}}, {"x": {}}])
def test_a_wrong_file_is_named(file: dict[str, object]) -> None:
    """A name the process does not know, or a section that is none, points to the file."""
    refused = refusal(file=file)
    assert refused.code == "app.settings.unknown"
    assert refused.sentence.startswith("settings.toml names")


def test_a_file_that_is_no_toml_or_missing_is_named(tmp_path: Path) -> None:
    """The sentence has path and line."""
    with pytest.raises(UsageError) as missing:
        read_settled(tmp_path, NodeOptions)
    assert missing.value.code == "app.settings.unreadable"
    (tmp_path / "settings.toml").write_bytes(b"[network\n")
    with pytest.raises(UsageError) as malformed:
        read_settled(tmp_path, NodeOptions)
    assert malformed.value.code == "app.settings.malformed"
    assert "line 1" in malformed.value.sentence


def test_the_explanation_has_value_and_origin(tmp_path: Path) -> None:
    """For a person one aligned line each, for a program one object."""
    write_settings(tmp_path, HubOptions(network=HubNetwork(leaf_port=7422)))
    told = read_settled(tmp_path, HubOptions, ["network.leaf_port=1"]).origins
    text = explanation_text(told, as_json=False).splitlines()
    assert text[1].split() == ["network.leaf_port", "=", "1", "--set"]
    shown = msgspec.json.decode(explanation_text(told, as_json=True))
    assert shown["network.leaf_port"] == {"value": 1, "origin": "--set"}
