"""Whether a hub answers at an address, and with a certificate of the consortium."""

import socket
import ssl

CONNECT_TIMEOUT_S = 2.0


def hub_problem(host: str, port: int, root_pem: str) -> str:
    """Return what keeps a node from its hub, empty if nothing does.

    The node's own certificate is not shown: whether the hub accepts it is seen when it links.
    """
    context = ssl.create_default_context(cadata=root_pem)
    context.check_hostname = False  # the root issues to members of this consortium only
    try:
        with (
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as secured,
        ):
            return "" if secured.version() else "it does not speak TLS."
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not of this consortium ({error.verify_message})."
    except ssl.SSLError as error:
        return f"what answers is no hub ({error.reason})."
    except TimeoutError:
        return f"it says nothing within {CONNECT_TIMEOUT_S:.0f} s."
    except OSError as error:
        return f"it cannot be reached ({error.strerror or error})."
