"""Single questions over TLS, for who has no account on the bus yet."""

from mutualedge.adapters.tls.channel import ServerFiles, ask, serve

__all__ = ["ServerFiles", "ask", "serve"]
