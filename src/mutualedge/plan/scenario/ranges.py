"""What a number in a scenario may be. The upper bound keeps products finite, and infinity out."""

from typing import Annotated

import msgspec

FINITE_MAX = 1e12

Positive = Annotated[float, msgspec.Meta(gt=0, le=FINITE_MAX)]
Period = Annotated[float, msgspec.Meta(ge=1e-3, le=FINITE_MAX)]
"""Milliseconds; the planner counts whole microseconds."""

NotNegative = Annotated[float, msgspec.Meta(ge=0, le=FINITE_MAX)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Scale = Annotated[float, msgspec.Meta(gt=0, le=1)]

Label = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
"""Name of a task, node, memory or cloud: wider than names on the wire, for scenarios of others."""
