"""NATS: credentials without a central database, the real server as a child, the asyncio client."""

from mutualedge.adapters.nats.client import (
    Login,
    NatsClient,
    PasswordLogin,
    TokenLogin,
    connect,
)
from mutualedge.adapters.nats.configuration import (
    PAYLOAD_BYTES_MAX,
    EnterpriseServer,
    HubLink,
    HubServer,
    LocalUser,
    TlsFiles,
)
from mutualedge.adapters.nats.credentials import (
    SERVICE_SUBJECT,
    Partner,
    account_token,
    activation_token,
    client_user_token,
    credentials_text,
    leaf_user_token,
    operator_token,
    partner_subject,
    verify_activation,
)
from mutualedge.adapters.nats.expiry import (
    certificate_ends_ns,
    token_ends_ns,
)
from mutualedge.adapters.nats.nkeys import Nkey, Role, parse_public
from mutualedge.adapters.nats.reach import hub_problem
from mutualedge.adapters.nats.server import (
    NatsServer,
    find_binary,
    link_ends_ns,
    renew_link,
    start_server,
)
from mutualedge.adapters.nats.service import Handler, Report, Service
from mutualedge.adapters.nats.wire import Request

__all__ = [
    "PAYLOAD_BYTES_MAX",
    "SERVICE_SUBJECT",
    "EnterpriseServer",
    "Handler",
    "HubLink",
    "HubServer",
    "LocalUser",
    "Login",
    "NatsClient",
    "NatsServer",
    "Nkey",
    "Partner",
    "PasswordLogin",
    "Report",
    "Request",
    "Role",
    "Service",
    "TlsFiles",
    "TokenLogin",
    "account_token",
    "activation_token",
    "certificate_ends_ns",
    "client_user_token",
    "connect",
    "credentials_text",
    "find_binary",
    "hub_problem",
    "leaf_user_token",
    "link_ends_ns",
    "operator_token",
    "parse_public",
    "partner_subject",
    "renew_link",
    "start_server",
    "token_ends_ns",
    "verify_activation",
]
