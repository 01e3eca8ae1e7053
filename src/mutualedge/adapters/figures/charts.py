"""Charts as SVG or PNG: the only module that imports matplotlib."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Kind = Literal["svg", "png"]

WIDTH_IN, HEIGHT_IN = 7.2, 3.6
COLORS = ("#0b6e4f", "#d1495b", "#edae49", "#30638e", "#7f5a83", "#8d99ae", "#2b2d42", "#6a994e")
"""Told apart by people who do not tell red from green, by their lightness."""


def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    across: str,
    up: str,
    kind: Kind = "svg",
) -> bytes:
    """Return a chart of lines, each with its horizontal and vertical values.

    Args:
        lines: By their names.
        across: What the horizontal axis shows.
        up: What the vertical axis shows.
        kind: Format of the picture.
    """

    def draw(axes: Axes) -> None:
        for color, (name, (horizontal, vertical)) in zip(
            _colors(len(lines)), lines.items(), strict=True
        ):
            axes.plot(horizontal, vertical, label=name, color=color, marker="o", markersize=3)
        axes.legend(frameon=False)

    return _picture(draw, across, up, kind)


def stacked_bars(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    *,
    across: str,
    up: str,
    kind: Kind = "svg",
) -> bytes:
    """Return a bar for each name, made of parts; a part may lie below zero.

    Args:
        names: Of the bars.
        parts: Heights of each part in every bar.
        across: What the bars are.
        up: What their height is.
        kind: Format of the picture.
    """

    def draw(axes: Axes) -> None:
        above, below = np.zeros(len(names)), np.zeros(len(names))
        for color, (part, heights) in zip(_colors(len(parts)), parts.items(), strict=True):
            values = np.array(heights, float)
            axes.bar(
                names, values, bottom=np.where(values < 0, below, above), label=part, color=color
            )
            above += np.maximum(values, 0.0)
            below += np.minimum(values, 0.0)
        if len(names) > NAMES_UPRIGHT_MAX:
            axes.tick_params(axis="x", rotation=90)
        axes.legend(frameon=False, fontsize=8, ncols=2)

    return _picture(draw, across, up, kind)


NAMES_UPRIGHT_MAX = 12
"""More names than these stand side by side only if they are turned."""


def _picture(draw: Callable[[Axes], None], across: str, up: str, kind: Kind) -> bytes:
    settings = mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "mutualedge",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    )
    with settings:
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        content = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {}
        figure.savefig(content, format=kind, metadata=metadata, dpi=144)
    return content.getvalue()


def _colors(count: int) -> list[str]:
    return [COLORS[index % len(COLORS)] for index in range(count)]
