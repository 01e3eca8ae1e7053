import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mutualedge.adapters.isolation import Resources, spawn_runner
from mutualedge.errors import IsolationFailed
from tests.contract.confined_probe import (
    ARGV,
    PATIENCE_S,
    Probe,
    confined_probe,
    needs_bubblewrap,
)

NO_BUBBLEWRAP = Path("/bin/false")
"""A bwrap that never works, as on a machine that forbids namespaces."""


CALL = """
import ctypes
assert ctypes.CDLL(None).{} >= 0, "refused"
said = "escaped"
"""
"""A C library call: a new user namespace, another process's memory, an io_uring."""


@pytest.fixture(scope="module")
def sandboxed() -> Iterator[Probe]:
    with confined_probe() as probe:
        yield probe


@pytest.fixture(scope="module")
def bare() -> Iterator[Probe]:
    with confined_probe(NO_BUBBLEWRAP) as probe:
        yield probe


@needs_bubblewrap
def test_no_file_of_the_host_is_there(sandboxed: Probe, tmp_path: Path) -> None:
    """A secret that others may read, and the host's accounts and homes, do not exist inside."""
    secret = tmp_path / "secret"
    secret.write_text("price list", "utf-8")
    secret.chmod(0o644)
    for path in (str(secret), "/etc/passwd", "/etc/shadow", str(Path.home() / ".profile")):
        assert sandboxed.says(f"said = open({path!r}).read()") == "FileNotFoundError"


@needs_bubblewrap
def test_nothing_can_be_written(sandboxed: Probe) -> None:
    """Every folder that exists inside, the package and Python among them, is read-only."""
    code = """
import os
said = [
    folder
    for folder, _, _ in os.walk("/")
    if not folder.startswith("/proc") and os.access(folder, os.W_OK)
]
"""
    assert sandboxed.says(code) == []
    package = str(Path(spawn_runner.__code__.co_filename).parent / "planted.py")
    assert sandboxed.says(f"said = open({package!r}, 'w').write('x')") in {
        "PermissionError",
        "OSError",
    }


def test_no_connection_can_be_made(sandboxed: Probe) -> None:
    """A listener on the loopback address is out of reach; not even a socket can be made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = listener.getsockname()
        code = f"import socket\nsaid = socket.create_connection({address!r}, 2).fileno()"
        assert sandboxed.says(code) == "PermissionError"
        with pytest.raises(BlockingIOError):
            listener.accept()


@needs_bubblewrap
def test_the_network_is_another_one(sandboxed: Probe) -> None:
    """Behind the missing system call stands an empty network: one interface, no address."""
    code = "said = [line.split(':')[0].strip() for line in open('/proc/net/dev')][2:]"
    assert sandboxed.says(code) == ["lo"]


@needs_bubblewrap
def test_only_its_own_processes_exist(sandboxed: Probe) -> None:
    """It sees the sandbox's first process and itself, and cannot signal its node."""
    code = "import os\nsaid = [int(name) for name in os.listdir('/proc') if name.isdigit()]"
    numbers = sandboxed.says(code)
    assert isinstance(numbers, list)
    assert len(numbers) == 2
    assert sandboxed.says(f"import os\nsaid = os.kill({os.getpid()}, 0)") in {
        "ProcessLookupError",
        "PermissionError",
    }


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
def test_the_environment_is_empty(name: str, request: pytest.FixtureRequest) -> None:
    """No variable of the node arrives; LC_CTYPE is what Python sets for itself (PEP 538)."""
    probe: Probe = request.getfixturevalue(name)
    code = "import os\nsaid = sorted(set(os.environ) - {'LC_CTYPE'})"
    assert probe.says(code) == []


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
def test_one_descriptor_is_inherited(name: str, request: pytest.FixtureRequest) -> None:
    """Besides the standard streams, of which only the last says anything, it has one socket."""
    probe: Probe = request.getfixturevalue(name)
    code = """
import os
said = {}
for number in range(64):
    try:
        said[number] = os.readlink(f"/proc/self/fd/{number}").split(":")[0]
    except OSError:
        pass
"""
    descriptors = probe.says(code)
    assert isinstance(descriptors, dict)
    kinds = sorted(descriptors.values())
    assert kinds == ["/dev/null", "/dev/null", "/memfd", "socket"]


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("said = len(bytearray(1 << 30))", "MemoryError"),
        ("import socket\nsaid = socket.socket().fileno()", "PermissionError"),
        ("import socket\nsaid = len(socket.socketpair())", "PermissionError"),
        (CALL.format("unshare(0x10000000)"), "AssertionError"),
        (CALL.format("ptrace(16, 1, 0, 0)"), "AssertionError"),
        (CALL.format("syscall(425, 8, 0)"), "AssertionError"),
        ("import os\nsaid = os.dup2(0, 200)", "OSError"),
    ],
)
def test_a_limit_or_the_kernel_says_no(
    name: str, code: str, error: str, request: pytest.FixtureRequest
) -> None:
    """Memory, sockets, namespaces, other processes and descriptors end at the wall."""
    probe: Probe = request.getfixturevalue(name)
    assert probe.says(code) == error
    assert probe.says("said = 'alive'") == "alive"


@needs_bubblewrap
def test_processes_are_counted() -> None:
    """Forking without end is refused, and everything forked ends with the runner."""
    code = """
import os, time
said = 0
try:
    while said < 1000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        said += 1
except BlockingIOError:
    pass
"""
    with confined_probe(resources=Resources(process_count=60)) as probe:
        count = probe.says(code)
    assert isinstance(count, int)
    assert count < 60


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
def test_privileges_cannot_come_back(name: str, request: pytest.FixtureRequest) -> None:
    """No new privileges, a filter on system calls, no core dump with keys in it."""
    probe: Probe = request.getfixturevalue(name)
    code = """
import resource
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
said = [
    status["NoNewPrivs"].strip(),
    status["Seccomp"].strip(),
    list(resource.getrlimit(resource.RLIMIT_CORE)),
]
"""
    assert probe.says(code) == ["1", "2", [0, 0]]


@needs_bubblewrap
def test_it_is_nobody_without_capabilities(sandboxed: Probe) -> None:
    """Behind bubblewrap it has another user than root, and no capability at all."""
    code = """
import os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
said = [os.getuid(), os.getgid(), int(status["CapEff"], 16), int(status["CapPrm"], 16)]
"""
    assert sandboxed.says(code) == [65534, 65534, 0, 0]
    assert sandboxed.says("import os\nsaid = os.setuid(0)") == "PermissionError"


@pytest.mark.parametrize("bubblewrap", ["installed", "none"])
def test_it_dies_with_its_parent(bubblewrap: str) -> None:
    """SIGKILL to the node, which no handler sees, ends the runner as well."""
    path = "None" if bubblewrap == "installed" else f"Path({str(NO_BUBBLEWRAP)!r})"
    parent_code = f"""
import os, sys, time
from pathlib import Path
from mutualedge.adapters.isolation import spawn_runner
descriptor = int(sys.argv[1])
process = spawn_runner({ARGV!r}, descriptor, bubblewrap={path})
os.close(descriptor)
print(process.pid, flush=True)
time.sleep(600)
"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE_S)
        with subprocess.Popen(
            [sys.executable, "-c", parent_code, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.PIPE,
        ) as parent:
            theirs.close()
            assert parent.stdout is not None
            parent.stdout.readline()
            ours.sendall(b'"said = 1"\n')
            assert ours.recv(100) == b"1\n"
            parent.send_signal(signal.SIGKILL)
        assert ours.recv(100) == b""


def test_stopping_ends_it_and_keeps_its_last_words() -> None:
    """After stop the process is gone, the socket closed, and its traceback can be read."""
    with confined_probe(NO_BUBBLEWRAP) as probe:
        probe.says("import sys\nprint('the reason', file=sys.stderr)\nsaid = 1")
        assert probe.process.exit_status is None
        probe.process.stop()
        assert probe.node.recv(1) == b""
        assert "the reason" in probe.process.last_words
        assert probe.process.exit_status == -signal.SIGKILL


def test_its_words_are_few() -> None:
    """Standard error is a bounded file: writing on fails instead of filling the memory."""
    code = "import os\nsaid = sum(os.write(2, bytes(1024)) for _ in range(100))"
    with confined_probe(NO_BUBBLEWRAP) as probe:
        assert probe.says(code) == "OSError"


def test_the_report_says_what_stands_and_why_not() -> None:
    """With bubblewrap unusable the report names it as missing, with the reason, and goes on."""
    with confined_probe(NO_BUBBLEWRAP) as probe:
        report = probe.process.report
    missing = {each.name: each.reason for each in report.missing}
    assert "bwrap does not work here" in missing["bubblewrap"]
    assert {"wasm", "rlimits", "no-new-privileges", "seccomp"} <= set(report.layers)
    assert not set(missing) & set(report.layers)


@needs_bubblewrap
def test_the_full_report_misses_nothing(sandboxed: Probe) -> None:
    """Where bubblewrap works, every layer stands; the outermost is named last."""
    report = sandboxed.process.report
    assert report.missing == ()
    assert report.layers[0] == "wasm"
    assert report.layers[-1] == "bubblewrap"


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
def test_timing_is_what_the_scheduler_says(name: str, request: pytest.FixtureRequest) -> None:
    """It reports ``prioritised`` exactly when the kernel schedules it before others."""
    probe: Probe = request.getfixturevalue(name)
    code = "import os\nsaid = [os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)]"
    scheduled = probe.says(code)
    assert isinstance(scheduled, list)
    is_prioritised = scheduled[0] == os.SCHED_RR or scheduled[1] == -19
    report = probe.process.report
    assert report.timing == ("prioritised" if is_prioritised else "best-effort")
    assert report.timing_reason


def test_a_required_layer_that_is_missing_ends_the_start() -> None:
    """Where policy demands a layer this machine lacks, no runner runs and the reason is told."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE_S)
        with pytest.raises(IsolationFailed, match="bwrap does not work here"):
            spawn_runner(
                ARGV, theirs.fileno(), bubblewrap=NO_BUBBLEWRAP, required_layers=("bubblewrap",)
            )
        theirs.close()
        assert ours.recv(1) == b""


def test_a_bwrap_that_does_not_exist_is_reported() -> None:
    """A configured path without a program is a missing layer with its reason, not a crash."""
    with confined_probe(Path("/nowhere/bwrap")) as probe:
        missing = {each.name: each.reason for each in probe.process.report.missing}
    assert "No such file" in missing["bubblewrap"]


@pytest.mark.parametrize("name", ["sandboxed", "bare"])
def test_functions_run_inside(name: str, request: pytest.FixtureRequest) -> None:
    """The engine compiles and runs within the limits, in at most 60 MB of memory."""
    probe: Probe = request.getfixturevalue(name)
    code = """
from mutualedge.adapters.wasm import WasmRuntime
from mutualedge.functions import anomaly_bundle
bundle = anomaly_bundle()
execution = WasmRuntime().load(bundle).run(bundle.calibration_request)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
said = [execution.status, int(status["VmRSS"].split()[0])]
"""
    said = probe.says(code)
    assert isinstance(said, list)
    assert said[0] == "ok"
    assert said[1] < 60_000
