"""Where the servers stand: a temporary directory with the files and the certificate, free ports, and the processes.

``__main__`` opens one Stage per run and starts the servers of one scenario at a time on it. Whatever was started is
ended when the ``with`` block is left, by whatever way; should this process be killed, the kernel asks it to end.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import hashlib
import http.client
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.measure import processes, tree
from bench.peers import Peer, Place
from bench.scenarios import Scenario, write_files

START = 20.0
"""Seconds a server may take to answer its first request."""
STOP = 5.0
"""Seconds it may take to end before it is killed."""
CHECKED = (0, 1, 1020)
"""The requests whose answers are compared byte by byte, before and after the measuring."""

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_LOOPBACK = ipaddress.IPv4Address("127.0.0.1")


class Running:
    """One peer's processes, from :meth:`start` to :func:`stop`.

    :ivar why: why it is not measured (any more); empty while all is well.
    """

    def __init__(self, peer: Peer, place: Place) -> None:
        self.peer = peer
        self.place = place
        self.leaders: list[subprocess.Popen[bytes]] = []
        self.why = peer.lacks()
        self._known: dict[int, int] = {}

    def start(self) -> None:
        """Write the configuration and start every command of the peer, each in a session of its own."""
        self.place.work.mkdir(parents=True)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("GUNICORN_", "GRANIAN_"))}
        with open(self.place.work / "output.log", "ab") as output:
            for argv in self.peer.prepare(self.place):
                leader = subprocess.Popen(
                    argv,
                    cwd=self.place.work,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - there are no threads here
                )
                self.leaders.append(leader)

    def pids(self) -> list[int]:
        """Return the pids of its leaders, below which its other processes hang."""
        return [leader.pid for leader in self.leaders]

    def ended(self) -> bool:
        """Tell whether one of its leaders is gone, and note that as the reason."""
        for leader in self.leaders:
            if (status := leader.poll()) is not None:
                self.why = self.why or f"it ended with status {status}"
                return True
        return False

    def url(self, scenario: Scenario) -> str:
        """Return the address of a scenario's requests, without a path."""
        port, scheme = (self.place.https, "https") if scenario.tls else (self.place.http, "http")
        return f"{scheme}://127.0.0.1:{port}"

    def check(self, scenario: Scenario) -> str:
        """Ask for some of the scenario's answers. Returns what was wrong with them, or why there were none."""
        try:
            return "; ".join(self._wrong(scenario))[:300]
        except (OSError, http.client.HTTPException) as error:
            return f"no answer ({error})"

    def _wrong(self, scenario: Scenario) -> list[str]:
        found = []
        with contextlib.closing(self._connection(scenario)) as connection:
            for number in CHECKED:
                body = b"x" * scenario.upload if scenario.upload else None
                connection.request(scenario.method, scenario.path(number), body, {"Accept-Encoding": "gzip, br"})
                answer = connection.getresponse()
                if answer.status in {502, 503}:
                    raise ConnectionError(f"status {answer.status}")
                fault = _fault(answer.status, answer.read(), scenario.expected(number, self.place.www))
                if fault:
                    found.append(f"{scenario.path(number)}: {fault}")
        return found

    def _connection(self, scenario: Scenario) -> http.client.HTTPConnection:
        if not scenario.tls:
            return http.client.HTTPConnection("127.0.0.1", self.place.http, timeout=5)
        context = ssl.create_default_context(cafile=str(self.place.certificate))
        return http.client.HTTPSConnection("127.0.0.1", self.place.https, timeout=5, context=context)

    def wait(self, scenario: Scenario, deadline: float) -> None:
        """Wait until it answers (``why`` says so if it does not) and note answers that are not right."""
        while not self.ended() and not self.why:
            try:
                self.why = "; ".join(self._wrong(scenario))[:300]
                return
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > deadline:
                    self.why = f"no answer after {START:.0f} s ({error})"
            time.sleep(0.05)

    def output(self) -> str:
        """Return the end of what it printed and logged, to explain a failure."""
        logs = [self.place.work / name for name in ("output.log", "error.log")]
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in logs if log.exists()).strip()

    def trim(self) -> None:
        """Empty its logs: a run writes several GB of them. All servers append, so none notices."""
        for path in self.place.work.glob("*.log"):
            os.truncate(path, 0)

    def ask_to_end(self) -> None:
        """Send SIGTERM to the leaders, remembering the whole tree."""
        every = processes()
        self._known = {pid: every[pid].started for pid in tree(self.pids(), every)}
        for leader in self.leaders:
            if leader.poll() is None:
                leader.terminate()

    def make_end(self, deadline: float) -> None:
        """Wait for the leaders until ``deadline``, then kill whatever is left of the tree."""
        for leader in self.leaders:
            with contextlib.suppress(subprocess.TimeoutExpired):
                leader.wait(max(0.0, deadline - time.monotonic()))
        now = processes()
        left = [pid for pid, started in self._known.items() if pid in now and now[pid].started == started]
        for pid in {*left, *tree(self.pids(), now)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for leader in self.leaders:
            leader.wait()
        self.leaders.clear()


class Stage:
    """The temporary directory of one run, with everything the servers share."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="tinfront-bench-", ignore_cleanup_errors=True)
        self.root = Path(self._directory.name)
        self.www = self.root / "www"
        self.app = self.root / "app"
        self.certificate = self.root / "bench.pem"
        self.key = self.root / "bench.key"
        self.app.mkdir()
        shutil.copy(Path(__file__).with_name("app.py"), self.app)
        write_files(self.www, scenarios)
        _write_certificate(self.certificate, self.key)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        self._directory.cleanup()

    @contextlib.contextmanager
    def started(self, peers: Sequence[Peer], scenario: Scenario) -> Iterator[list[Running]]:
        """Start these peers for a scenario and wait for their first answers; end them all on the way out."""
        ports = free_ports(2 * len(peers))
        running = []
        for peer in peers:
            work = self.root / scenario.name / peer.name
            place = Place(work, self.www, self.app, self.certificate, self.key, ports.pop(), ports.pop())
            running.append(Running(peer, place))
        try:
            for server in running:
                if not server.why:
                    server.start()
            deadline = time.monotonic() + START
            for server in running:
                server.wait(scenario, deadline)
            yield running
        finally:
            stop(running)
            shutil.rmtree(self.root / scenario.name, ignore_errors=True)


def stop(running: Sequence[Running]) -> None:
    """End the processes of all these servers, killing after STOP seconds; a second Ctrl-C does not interrupt it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for server in running:
            server.ask_to_end()
        deadline = time.monotonic() + STOP
        for server in running:
            server.make_end(deadline)
    finally:
        signal.signal(signal.SIGINT, before)


def _die_with_parent() -> None:
    # Should the bench be killed: SIGTERM, because a leader that is killed as well leaves its workers behind.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _fault(status: int, body: bytes, right: bytes) -> str:
    if status != 200:
        return f"status {status}"
    if len(body) != len(right):
        return f"{len(body)} bytes in place of {len(right)}"
    if hashlib.sha256(body).digest() != hashlib.sha256(right).digest():
        return "the bytes differ"
    return ""


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free now: all are held until the last is found, so that they differ."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _write_certificate(certificate: Path, key: Path) -> None:
    """Write a self-signed ECDSA P-256 certificate for localhost and 127.0.0.1, valid for a day."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(_LOOPBACK)]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key.touch(mode=0o600)
    key.write_bytes(private.private_bytes(pem, pkcs8, serialization.NoEncryption()))
