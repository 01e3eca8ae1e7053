"""The planner at a terminal: files in, clock and Ctrl-C around it, words or JSON out."""

from importlib.util import find_spec

from mutualedge.errors import UsageError

__all__ = ["require_libraries"]

LIBRARIES = ("numpy", "highspy")


def require_libraries(*more: str) -> None:
    """Refuse to plan where the extra ``plan`` is not installed.

    Args:
        more: Libraries that are needed besides, of the extra ``figures``.

    Raises:
        UsageError: One is not.
    """
    if missing := [name for name in (*LIBRARIES, *more) if find_spec(name) is None]:
        sentence = (
            f"This needs {' and '.join(missing)}; install what is missing with "
            "'pip install mutualedge[plan,figures]'."
        )
        raise UsageError("app.planning.libraries", sentence)
