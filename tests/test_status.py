"""What ``tinfront status`` and ``tinfront stacks`` say."""

import time

import pytest

from tests.transports import Front
from tinfront import status as room
from tinfront.config.model import App
from tinfront.status import count_states, stacks, stacks_text, state_of, table

STATUS = {
    "version": "1.2",
    "pid": 42,
    "uptime": 90061.5,
    "stopping": False,
    "connections": {"open": 3, "limit": 1000, "pauses": 6, "states": {"idle": 2, "sending": 1, "closing": 0}},
    "listeners": [
        {
            "name": "web",
            "urls": ["http://a:80"],
            "open": 3,
            "accepted": 70,
            "refused": 1,
            "handshake_failed": 0,
            "unannounced": 2,
            "over_address": 4,
            "closed_idle": 5,
        }
    ],
    "apps": [
        {
            "name": "main",
            "generation": 2,
            "draining": False,
            "ready": False,
            "busy": 1,
            "idle": 2,
            "waiting": 3,
            "oldest_wait": 1.25,
            "shed": {"full": 4, "timeout": 5, "gone": 6},
            "trouble": "no module",
            "nursery": 40,
            "target": 2,
            "workers": [
                {
                    "pid": 43,
                    "state": "busy",
                    "age": 61.0,
                    "served": 1234,
                    "rss": 45_200_000,
                    "why": "",
                    "requests": [
                        {"method": "GET", "path": "/slow\x1b", "id": "a-1", "age": 1.25, "answering": False},
                        {"method": "GET", "path": "/", "id": "a-2", "age": 0.25, "answering": True},
                    ],
                },
                {"pid": 0, "state": "starting", "age": 0.0, "served": 0, "rss": 0, "why": "", "requests": []},
            ],
            "ends": {"max_requests": 2, "died": 1},
            "recent": [{"at": 0.0, "pid": 41, "reason": "killed by SIGKILL"}],
            "failure": "Traceback:\nImportError: no module",
        }
    ],
    "spool": {
        "used": 1024,
        "limit": 2048,
        "memory": 512,
        "memory_limit": 4096,
        "spilled": 7,
        "full": 8,
        "cut": 9,
    },
    "log_lines_lost": 5,
}


def test_the_table_for_people(monkeypatch):
    monkeypatch.setattr(time, "localtime", time.gmtime)
    assert table(STATUS) == (
        "tinfront 1.2, pid 42, up for 1 d 01:01:01\n"
        "\n"
        "LISTEN  OPEN  ACCEPTED  REFUSED  PER ADDRESS  IDLEST  BAD TLS  NO PROXY  AT\n"
        "web     3     70        1        4            5       0        2         http://a:80\n"
        "\n"
        "connections: 3 of 1,000 (2 idle, 1 sending); accepting has paused 6 times\n"
        "spool: 1,024 of 2,048 bytes; log lines lost: 5\n"
        "spool memory: 512 of 4,096 bytes; bodies on disk for lack of it: 7; no room on disk: 8; "
        "answers cut for that: 9\n"
        "\n"
        "APP   GENERATION  STATE      WORKERS  BUSY  IDLE  WAITING  OLDEST  FULL  TIMEOUT  GONE\n"
        "main  2           not ready  1 of 2   1     2     3        1.2 s   4     5        6     no module\n"
        "\n"
        "WORKER  APP   STATE     AGE       SERVED  MEMORY   OLDEST REQUEST\n"
        "43      main  busy      00:01:01  1,234   45.2 MB  GET /slow?, 1.2 s, and 1 more\n"
        "0       main  starting  00:00:00  0       0.0 MB\n"
        "\n"
        "main: workers that ended: 1 died, 2 max_requests; the last ones:\n"
        "  1970-01-01 00:00:00  41  killed by SIGKILL\n"
        "\n"
        "main cannot start:\n"
        "  Traceback:\n"
        "  ImportError: no module\n"
    )


class Pool:
    def __init__(self, *told):
        self.told = told

    def ask_stacks(self, told):
        for each in self.told:
            told(each)
        return len(self.told)


class LatePool:
    def ask_stacks(self, told):
        self.tell = told
        return 1


class Generations:
    """Of one app; the last one is current."""

    def __init__(self, name, *pools):
        self.app = App(name, "")
        self.current = pools[-1]
        self._pools = list(enumerate(pools, 1))

    def all(self):
        return self._pools[::-1]


class Site:
    def __init__(self, *apps):
        self.pools = {generations.app.name: generations for generations in apps}

    def all_pools(self):
        return list(self.pools.values())


def said(app, pid):
    return {"app": app, "pid": pid, "state": "idle", "stacks": f"stack of {pid}"}


def test_stacks_are_there_when_all_have_told():
    late = LatePool()
    heard = []
    stacks(Site(Generations("a", Pool(said("a", 2), said("a", 1))), Generations("b", late))).addCallback(heard.append)
    assert heard == []
    late.tell(said("b", 3))
    assert heard == [{"workers": [said("a", 1), said("a", 2), said("b", 3)]}]
    assert stacks_text(heard[0]).startswith("=== a, worker 1, idle\nstack of 1\n\n=== a, worker 2")


def test_stacks_of_nobody():
    heard = []
    stacks(Site()).addCallback(heard.append)
    assert stacks_text(heard[0]) == "there are no workers\n"


def test_all_generations_are_asked():
    heard = []
    site = Site(Generations("a", Pool(said("a", 2)), Pool(said("a", 1))))
    stacks(site).addCallback(heard.append)
    assert [each["pid"] for each in heard[0]["workers"]] == [1, 2]
    found = [(name, number, draining) for name, number, _, draining in room._generations(site)]
    assert found == [("a", 2, False), ("a", 1, True)]


@pytest.mark.parametrize(
    ("sent", "state"),
    [
        (b"", "idle"),
        (b"GET / HT", "reading head"),
        (b"POST / HTTP/1.1\r\nHost: demo.test\r\nContent-Length: 5\r\n\r\nab", "reading body"),
        (b"GET / HTTP/1.1\r\nHost: demo.test\r\n\r\n", "waiting"),
    ],
)
def test_states_of_connections(sent, state):
    front = Front(lambda exchange: None)
    client = front.connect()
    if sent:
        client.send(sent)
    assert state_of(client.connection) == state


def test_states_are_counted():
    class Roll:
        connections = (Front().connect().connection,)
        pending = (1, 2)

    class Listener:
        roll = Roll()

    counts = count_states([Listener()])
    assert counts["idle"] == 1
    assert counts["handshake"] == 2
    assert set(counts) == set(room.STATES)
