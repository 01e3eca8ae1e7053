"""The planner at a terminal: files in, clock and Ctrl-C around it, words or JSON out."""

from importlib.util import find_spec

from mutualedge.errors import UsageError

__all__ = ["require_libraries"]

LIBRARIES = ("numpy", "highspy")


def require_libraries() -> None:
    """Refuse to plan where the extra ``plan`` is not installed.

    Raises:
        UsageError: It is not.
    """
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        sentence = (
            f"The planner needs {' and '.join(missing)}; install them with "
            "'pip install mutualedge[plan]'."
        )
        raise UsageError("app.planning.libraries", sentence)
