"""What one keep-alive request to an app costs on its whole way: client, front, worker, front, client.

Counted in Python-level calls in both processes, which are real, as is the socket between them; only the client is in
memory. A number that no machine's mood can change.
"""

from __future__ import annotations

import json
import sys
from types import FrameType
from typing import Any

from tests.test_hot_path import BROWSER
from tests.transports import Front, replies
from tinfront.catalog import discover
from tinfront.config.model import Route, Server
from tinfront.front.accesslog import AccessLog, combined
from tinfront.http.dates import format_date
from tinfront.routing.chain import Parts, bind
from tinfront.routing.table import SiteTable, Table

BOTH_MAX = 30


def app_front(pool: Any) -> Front:
    """A front with one app and an access log, made as a configuration would."""
    module = discover().handler("app")
    options = {option.name: option.default for option in module.OPTIONS}
    route = Route("demo", "prefix", "/", "app", {**options, "app": "site"})
    handler = module.make(route.settings, Parts(route, Server(), {"site": pool}))
    table = Table()
    bound = bind(route, handler, [], [AccessLog("/dev/null", combined)])
    table.add(SiteTable("demo", [bound]), ["demo.test"])
    front = Front(table=table)
    front.terms.preamble.tick(format_date(0))
    return front


def test_both_processes(rig: Any) -> None:
    pool = rig.start(workers=1)
    pool._timer.cancel()  # its look at the deadlines is none of a request's cost
    pool._call_soon = rig.loop.call_soon_threadsafe  # the loop's own, as in a site
    front = app_front(pool)
    client = front.connect()
    entered: list[str] = []

    def see(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and "/tinfront/" in frame.f_code.co_filename:
            entered.append(frame.f_code.co_qualname)

    answered: list[Any] = []
    for number in range(4):  # the first ones warm the memos
        entered.clear()
        request = (BROWSER % number).replace(b"/catalog/item.html", b"/calls")
        sys.setprofile(see)
        client.connection.data_received(request)
        rig.loop.until(lambda: not client.connection.exchanges)
        sys.setprofile(None)
        [reply] = replies(client.news())
        answered.append(reply)
    in_worker = json.loads(answered[-1].body)
    assert "AccessLog.on_finish" in entered
    assert "Slot.perform" in in_worker
    assert len(entered) + len(in_worker) <= BOTH_MAX, "\n".join([*entered, "---", *in_worker])
    pool._tick()
