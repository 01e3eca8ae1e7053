"""Names of things, each with the one spelling that is accepted."""

from typing import Annotated, NewType

import msgspec

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,31}\Z"
DIGEST_PATTERN = r"^[0-9a-f]{64}\Z"
INVOCATION_PATTERN = r"^[0-9a-f]{32}\Z"

EnterpriseId = NewType("EnterpriseId", str)
NodeId = NewType("NodeId", str)
DeviceId = NewType("DeviceId", str)
Digest = NewType("Digest", str)
LeaseId = NewType("LeaseId", str)
KeyId = NewType("KeyId", str)
InvocationId = NewType("InvocationId", str)

EnterpriseName = Annotated[EnterpriseId, msgspec.Meta(pattern=NAME_PATTERN)]
NodeName = Annotated[NodeId, msgspec.Meta(pattern=NAME_PATTERN)]
DeviceName = Annotated[DeviceId, msgspec.Meta(pattern=NAME_PATTERN)]
HexDigest = Annotated[Digest, msgspec.Meta(pattern=DIGEST_PATTERN)]
HexLeaseId = Annotated[LeaseId, msgspec.Meta(pattern=DIGEST_PATTERN)]
HexKeyId = Annotated[KeyId, msgspec.Meta(pattern=DIGEST_PATTERN)]
HexInvocationId = Annotated[InvocationId, msgspec.Meta(pattern=INVOCATION_PATTERN)]

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

ZERO_DIGEST = Digest("0" * 64)
"""What the first record of a chain names as its predecessor."""
