"""What one keep-alive request costs, counted in Python-level calls: a number that no machine's mood can change."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

from tests.transports import Front, replies
from tinfront.catalog import discover
from tinfront.config.model import Route, Server
from tinfront.front.accesslog import AccessLog, combined
from tinfront.http.dates import format_date
from tinfront.routing.chain import Parts, bind
from tinfront.routing.table import SiteTable, Table

STATIC_MAX = 20

BROWSER = (
    b"GET /catalog/item.html?page=3 HTTP/1.1\r\nHost: demo.test\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Cookie: sessionid=%d; csrftoken=Zk3jH8sLq0WmN5vXyT2bR7uP4cD9eF6g\r\nReferer: https://demo.test/catalog\r\n"
    b"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n"
    b"Cache-Control: max-age=0\r\n\r\n"
)


def static_front(directory: Path, log: AccessLog) -> Front:
    """A front with one static route, made as a configuration would."""
    module = discover().handler("static")
    options = {option.name: option.default for option in module.OPTIONS}
    route = Route("demo", "prefix", "/", "static", {**options, "static": str(directory)})
    handler = module.make(route.settings, Parts(route, Server(), {}))
    table = Table()
    table.add(SiteTable("demo", [bind(route, handler, [], [log])]), ["demo.test"])
    return Front(table=table)


def calls(act: Any, *args: Any) -> list[str]:
    """The Python functions entered while ``act`` runs, itself included."""
    entered: list[str] = []

    def see(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            entered.append(frame.f_code.co_qualname)

    sys.setprofile(see)
    try:
        act(*args)
    finally:
        sys.setprofile(None)
    return entered


def test_one_static_request(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "item.html").write_bytes(b"x" * 1024)
    log = AccessLog("/dev/null", combined)
    front = static_front(tmp_path, log)
    front.terms.preamble.tick(format_date(0))
    client = front.connect()
    for number in range(3):  # memo, cache and preamble are warm
        [reply] = replies(client.send(BROWSER % number))
        assert (reply.status, len(reply.body)) == (200, 1024)
    entered = calls(client.connection.data_received, BROWSER % 9)
    assert len(replies(client.news())) == 1
    assert "AccessLog.on_finish" in entered
    assert len(entered) <= STATIC_MAX, entered


def test_it_leaves_in_one_write(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1024)
    front = static_front(tmp_path, AccessLog("/dev/null", combined))
    client = front.connect()
    for _ in range(3):
        before = client.transport.writes
        client.send(b"GET /a HTTP/1.1\r\nHost: demo.test\r\n\r\n")
        assert client.transport.writes == before + 1
