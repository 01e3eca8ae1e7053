"""Figures for people: lines and bars, as SVG or PNG."""

from mutualedge.adapters.figures.charts import line_chart, stacked_bars

__all__ = ["line_chart", "stacked_bars"]
