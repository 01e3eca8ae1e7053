"""Figures and the page that holds them."""

import re
from pathlib import Path

import pytest

from mutualedge.adapters.figures import line_chart, stacked_bars
from mutualedge.app.planning.report import report_file
from mutualedge.errors import UsageError

SCENARIO = """
[[enterprises]]
name = "bakery"
nodes = [{ name = "oven" }]
tasks = [{ name = "dough", wcet_ms = 60.0, period_ms = 100.0, send_ms = 1.0 }]

[[enterprises]]
name = "harbour"
nodes = [{ name = "crane" }]
tasks = [
  { name = "lift", wcet_ms = 30.0, period_ms = 100.0 },
  { name = "drive", wcet_ms = 30.0, period_ms = 100.0 },
]

[[clouds]]
name = "cloud"
rent_usd_month = 900.0
"""

TITLES = (
    "Money by part",
    "Money at rising loads",
    "How full the nodes are",
    "Who lends to whom",
    "Energy and money",
    "How evolution converges",
    "A schedule",
)


def test_the_page_has_every_figure_and_needs_nothing_else(tmp_path: Path) -> None:
    """Seven figures as drawings in the page; nothing is fetched from anywhere."""
    scenario, page = tmp_path / "scenario.toml", tmp_path / "page.html"
    scenario.write_text(SCENARIO)
    assert "open it in a browser" in report_file(
        scenario, page, shapes="bakery,evening", load=1.1, limit_s=120
    )
    text = page.read_text()
    assert [title for title in TITLES if f"<h2>{title}</h2>" not in text] == []
    assert text.count("<svg") == len(TITLES)
    assert re.search(r'(src|href)="(?!#)', text) is None
    with pytest.raises(UsageError, match="exists"):
        report_file(scenario, page, shapes="bakery,evening", load=1.1, limit_s=120)


def test_a_picture_is_the_same_each_time_in_either_format() -> None:
    """No date and no chance in it; what is asked for is what comes."""
    lines = {"a": ([0.0, 1.0], [2.0, 3.0]), "b": ([0.0, 1.0], [1.0, 1.0])}
    drawn = line_chart(lines, across="time", up="USD")
    assert drawn == line_chart(lines, across="time", up="USD")
    assert b"USD" in drawn
    parts = {"earned": [1.0, 2.0], "paid": [-1.0, 0.5]}
    assert stacked_bars(["x", "y"], parts, across="who", up="USD", kind="png").startswith(
        b"\x89PNG"
    )
