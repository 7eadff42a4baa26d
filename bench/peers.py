"""The servers side by side: how each is configured, started, found and named. The texts below are all their settings.

Alike for all: one machine, the same files, certificate and application; TLS 1.2 and 1.3; access log on, with the
fields of nginx's ``combined`` (behind nginx, nginx writes it). nginx gets what makes it fast: one worker for one front
process, open_file_cache, sendfile, buffered log, keep-alive without end, answers in memory. granian logs the fields it
has, by Python's logging, which costs it much: so it also runs without.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NGINX = """\
daemon off;
{user}
worker_processes 1;
error_log {work}/error.log warn;
pid {work}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    default_type application/octet-stream;
    access_log {work}/access.log combined buffer=64k flush=1s;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=1024 inactive=60s;
    open_file_cache_valid 30s;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    client_body_buffer_size 64k;
    client_max_body_size 10m;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
{upstream}
    server {{
        listen 127.0.0.1:{http} backlog=2048;
        listen 127.0.0.1:{https} ssl backlog=2048;
        server_name localhost;
        root {www};
        location /static/ {{ }}
{location}
    }}
}}
"""

UPSTREAM_GUNICORN = """\
    upstream app {{ server unix:{work}/app.sock; keepalive 64; }}
    proxy_buffers 16 8k;"""

LOCATION_GUNICORN = """\
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }"""

UPSTREAM_UWSGI = """\
    upstream app {{ server unix:{work}/app.sock; }}
    uwsgi_buffers 16 8k;"""

LOCATION_UWSGI = """\
        location / {
            uwsgi_pass app;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REQUEST_SCHEME $scheme;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
            uwsgi_param SERVER_PORT $server_port;
            uwsgi_param SERVER_NAME $server_name;
        }"""

GUNICORN = """\
bind = "{bind}"
workers = 2
worker_class = "{worker_class}"
threads = {threads}
backlog = 2048
chdir = "{app}"
loglevel = "warning"
accesslog = {accesslog}
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
control_socket_disable = True
"""

UWSGI = """\
[uwsgi]
{plugin}
uwsgi-socket = {work}/app.sock
listen = {backlog}
chdir = {app}
wsgi = app:application
master = true
processes = 2
need-app = true
die-on-term = true
disable-logging = true
"""

TINFRONT = """\
[server]
access_log = {work}/access.log

[listen:http]
address = 127.0.0.1:{http}
keepalive_requests = 100000000

[listen:https]
address = 127.0.0.1:{https}
tls = yes
keepalive_requests = 100000000

[site:bench]
hosts = 127.0.0.1, localhost
default = yes
certificate = {certificate}
certificate_key = {key}

[route:bench /static/]
static = {www}/static
"""

TINFRONT_APP = """
[route:bench /]
app = hello

[app:hello]
wsgi = app:application
path = {app}
mode = {mode}
"""

THREADS = 1
"""Of granian, and of tinfront where it is compared with granian: granian is fastest with one."""

NOT_INSTALLED = "not installed"
GRANIAN_LOG = '%(addr)s - - [%(time)s] "%(method)s %(path)s %(protocol)s" %(status)d'


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server works: its own directory, what all share, and its two ports of 127.0.0.1."""

    work: Path
    www: Path
    app: Path
    certificate: Path
    key: Path
    http: int
    https: int

    def fill(self, template: str, **more: object) -> str:
        """Return ``template`` with the place's values put in."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        return template.format(**(values | more))

    def write(self, name: str, text: str) -> str:
        """Write a file into the work directory. Returns its path."""
        path = self.work / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Peer:
    """A server, or a pair of them, that can be started.

    :ivar family: the word of ``--peers`` that chooses it, beside its name.
    :ivar against: the tinfront server it is compared with; empty for tinfront's own.
    :ivar kinds: the kinds of scenario it takes part in.
    :ivar needs: the commands that must be installed.
    :ivar prepare: writes its files and returns the command lines, to be started in this order.
    :ivar asked: True: only when ``--peers`` names it.
    """

    name: str
    label: str
    family: str
    against: str
    kinds: tuple[str, ...]
    needs: tuple[str, ...]
    prepare: Callable[[Place], list[list[str]]]
    asked: bool = False

    def lacks(self) -> str:
        """Return why it can't be started, empty if it can."""
        missing = [name for name in self.needs if find(name) is None]
        return f"{NOT_INSTALLED}: {', '.join(missing)}" if missing else ""


def find(name: str) -> str | None:
    """Return the path of a command: beside this Python first, then on PATH, then where Debian keeps servers."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.access(beside, os.X_OK) else shutil.which(name) or shutil.which(name, path="/usr/sbin")


def command(name: str) -> str:
    """Return the path of a command. Raises FileNotFoundError if it is not installed."""
    path = find(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def nginx(place: Place, upstream: str = "", location: str = "") -> list[str]:
    """Write nginx's configuration. Returns its command line."""
    user = "user root;" if os.geteuid() == 0 else ""
    text = place.fill(NGINX, user=user, upstream=place.fill(upstream), location=location)
    conf = place.write("nginx.conf", text)
    return [command("nginx"), "-p", str(place.work), "-c", conf, "-e", f"{place.work}/error.log"]


def gunicorn(place: Place, bind: str, worker_class: str, threads: int, accesslog: str | None) -> list[str]:
    """Write gunicorn's configuration. Returns its command line."""
    text = place.fill(GUNICORN, bind=bind, worker_class=worker_class, threads=threads, accesslog=repr(accesslog))
    return [command("gunicorn"), "--config", place.write("gunicorn.conf.py", text), "app:application"]


def _static(place: Place) -> list[list[str]]:
    return [nginx(place)]


def _nginx_gunicorn(place: Place) -> list[list[str]]:
    behind = gunicorn(place, f"unix:{place.work}/app.sock", "sync", 1, None)
    return [behind, nginx(place, UPSTREAM_GUNICORN, LOCATION_GUNICORN)]


def _nginx_uwsgi(place: Place) -> list[list[str]]:
    uwsgi = command("uwsgi")
    listed = subprocess.run([uwsgi, "--plugins-list"], capture_output=True, text=True, timeout=20, check=False)
    plugin = "" if "python" in listed.stdout + listed.stderr else "plugin = python3"
    backlog = min(1024, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    ini = place.write("uwsgi.ini", place.fill(UWSGI, plugin=plugin, backlog=backlog))
    return [[uwsgi, "--ini", ini], nginx(place, UPSTREAM_UWSGI, LOCATION_UWSGI)]


def _gunicorn_alone(place: Place) -> list[list[str]]:
    return [gunicorn(place, f"127.0.0.1:{place.http}", "gthread", 4, f"{place.work}/access.log")]


def _granian(place: Place) -> list[list[str]]:
    return [[*_granian_quiet(place)[0], "--access-log", "--access-log-fmt", GRANIAN_LOG]]


def _granian_quiet(place: Place) -> list[list[str]]:
    options = f"--interface wsgi --workers 1 --blocking-threads {THREADS} --http 1 --no-ws"
    where = f"--host 127.0.0.1 --port {place.http}"
    return [[command("granian"), *options.split(), *where.split(), "--working-dir", str(place.app), "app:application"]]


def _tinfront(place: Place, app: str = "") -> list[list[str]]:
    return [[command("tinfront"), "run", place.write("tinfront.ini", place.fill(TINFRONT) + app)]]


def _tinfront_prefork(place: Place) -> list[list[str]]:
    return _tinfront(place, place.fill(TINFRONT_APP, mode="prefork") + "workers = 2\n")


def _tinfront_threads(place: Place) -> list[list[str]]:
    return _tinfront(place, place.fill(TINFRONT_APP, mode="threads") + f"threads = {THREADS}\n")


_WSGI = ("wsgi",)
_BOTH = ("nginx", "gunicorn")
PEERS: tuple[Peer, ...] = (
    Peer("tinfront-static", "tinfront", "tinfront", "", ("static",), ("tinfront",), _tinfront),
    Peer("nginx", "nginx", "nginx", "tinfront-static", ("static",), ("nginx",), _static),
    Peer("tinfront-prefork", "tinfront, 2 workers", "tinfront", "", _WSGI, ("tinfront",), _tinfront_prefork),
    Peer("nginx+gunicorn", "nginx + gunicorn", "gunicorn", "tinfront-prefork", _WSGI, _BOTH, _nginx_gunicorn),
    Peer("nginx+uwsgi", "nginx + uWSGI", "uwsgi", "tinfront-prefork", _WSGI, ("nginx", "uwsgi"), _nginx_uwsgi),
    Peer("tinfront-threads", "tinfront, threads", "tinfront", "", _WSGI, ("tinfront",), _tinfront_threads),
    Peer("granian", "granian", "granian", "tinfront-threads", _WSGI, ("granian",), _granian),
    Peer("granian-quiet", "granian, no log", "granian", "tinfront-threads", _WSGI, ("granian",), _granian_quiet),
    Peer("gunicorn-alone", "gunicorn, gthread", "", "tinfront-prefork", _WSGI, ("gunicorn",), _gunicorn_alone, True),
)


def words() -> list[str]:
    """Return the words that ``--peers`` knows: names and families."""
    return sorted({word for peer in PEERS for word in (peer.name, peer.family) if word})


def chosen(asked: Sequence[str]) -> tuple[Peer, ...]:
    """Return the peers of these names or families, the usual ones for none. Raises ValueError for an unknown word."""
    if unknown := [word for word in asked if word not in words()]:
        raise ValueError(f"no such peer: {', '.join(unknown)} (there are: {', '.join(words())})")
    return tuple(peer for peer in PEERS if ({peer.name, peer.family} & {*asked} if asked else not peer.asked))


def versions() -> dict[str, str]:
    """Return the version of every command that is installed, by its name."""
    found = {}
    for name in ("nginx", "gunicorn", "uwsgi", "granian", "waitress", "tinfront", "wrk"):
        if name == "waitress":  # its command does not tell
            with contextlib.suppress(PackageNotFoundError):
                found[name] = version(name)
            continue
        if (path := find(name)) is None:
            continue
        argv = [path, "-v"] if name in {"nginx", "wrk"} else [path, "--version"]
        told = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        number = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
        if number:
            found[name] = number.group()
    return found
