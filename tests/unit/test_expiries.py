import socket
import threading
from pathlib import Path

import pytest

from mutualedge.adapters.nats import (
    Nkey,
    Role,
    activation_token,
    certificate_ends_ns,
    client_user_token,
    hub_problem,
    leaf_user_token,
    operator_token,
    token_ends_ns,
)
from mutualedge.app.files import STORE_FILE
from mutualedge.app.status import STATUS_FILE
from mutualedge.app.stores import open_store
from mutualedge.errors import CorruptState, UsageError
from mutualedge.identity import create_authority
from mutualedge.model import NS_PER_S
from mutualedge.signing import Entropy

NOW_NS = 1_800_000_000 * NS_PER_S
LIFE_NS = 90 * 24 * 3_600 * NS_PER_S


def key(role: Role, byte: int) -> Nkey:
    return Nkey(role, bytes([byte]) * 32)


def test_a_certificate_says_when_it_ends() -> None:
    """The authority's own, which is read like any other; what is none is refused."""
    authority = create_authority("trial", entropy=Entropy(bytes(32)), now_ns=NOW_NS)
    assert certificate_ends_ns(authority.certificate_pem) > NOW_NS
    with pytest.raises(UsageError) as refused:
        certificate_ends_ns(b"no certificate")
    assert refused.value.code == "nats.certificate.malformed"


def test_a_login_says_when_it_ends() -> None:
    """Both kinds of user tokens carry it, to the second."""
    account, user = key(Role.ACCOUNT, 1), key(Role.USER, 2)
    for make in (leaf_user_token, client_user_token):
        token = make(account, user=user.public, name="n", now_ns=NOW_NS, lifetime_ns=LIFE_NS)
        assert token_ends_ns(token) == NOW_NS + LIFE_NS


def test_a_token_without_end_has_none() -> None:
    """The operator's is valid until it is replaced."""
    token = operator_token(key(Role.OPERATOR, 1), consortium="trial", now_ns=NOW_NS)
    assert token_ends_ns(token) is None


def test_a_leave_to_call_says_when_it_ends() -> None:
    """What one account gives another lasts as long as it was given for."""
    importer = key(Role.ACCOUNT, 2).public
    token = activation_token(
        key(Role.ACCOUNT, 3), importer=importer, now_ns=NOW_NS, lifetime_ns=LIFE_NS
    )
    assert token_ends_ns(token) == NOW_NS + LIFE_NS


@pytest.mark.parametrize("token", ["", "a.b", "a.!!.c", "no token"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """One error, whatever is wrong with it."""
    with pytest.raises(UsageError) as refused:
        token_ends_ns(token)
    assert refused.value.code == "nats.token.malformed"


def root_pem() -> str:
    authority = create_authority("trial", entropy=Entropy(bytes(32)), now_ns=NOW_NS)
    return authority.certificate_pem.decode()


def test_a_hub_that_is_not_there_is_said_so() -> None:
    """A closed port refuses at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "cannot be reached" in hub_problem("127.0.0.1", port, root_pem())


def test_another_program_in_its_place_is_no_hub() -> None:
    """It answers, but not with TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.recv(4096)

        greeter = threading.Thread(target=greet)
        greeter.start()
        problem = hub_problem("127.0.0.1", server.getsockname()[1], root_pem())
        greeter.join()
    assert "no hub" in problem


def test_a_process_that_ran_does_not_begin_anew(tmp_path: Path) -> None:
    """A store that is gone or emptied is restored, not replaced by nothing."""
    open_store(tmp_path).close()
    (tmp_path / STATUS_FILE).write_text("{}", "utf-8")
    open_store(tmp_path).close()
    for lose in (lambda path: path.write_bytes(b""), Path.unlink):
        lose(tmp_path / STORE_FILE)
        with pytest.raises(CorruptState) as refused:
            open_store(tmp_path)
        assert refused.value.code == "store.file.lost"
        assert str(tmp_path / STORE_FILE) in refused.value.sentence
