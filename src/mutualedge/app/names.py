"""Names as people type them."""

import msgspec

from mutualedge.errors import UsageError
from mutualedge.identity import HUB
from mutualedge.model import EnterpriseId, EnterpriseName


def parse_enterprise(text: str) -> EnterpriseId:
    """Return the name of an enterprise.

    Raises:
        UsageError: No enterprise can be called so.
    """
    try:
        name: EnterpriseId = msgspec.convert(text, EnterpriseName)
    except msgspec.ValidationError as error:
        sentence = f"'{text}' is no name: start with a-z, then a-z, 0-9 and '-', 32 at most."
        raise UsageError("app.name.malformed", sentence) from error
    if name == HUB:
        sentence = f"'{HUB}' is what the hub is called; choose another name."
        raise UsageError("app.name.reserved", sentence)
    return name
