"""How a pool of processes fares, worker by worker, as values for ``tinfront status``."""

from __future__ import annotations

import sys
import traceback
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from tinfront.workers import memory

if TYPE_CHECKING:
    from tinfront.config.model import App
    from tinfront.workers.crew import Crew
    from tinfront.workers.jobs import JobQueue
    from tinfront.workers.nurse import Nurse

REQUESTS_MAX = 250
"""Requests of one worker that are told of; it has no more threads."""


def request(exchange: Any, age: float, answering: bool) -> dict[str, Any]:
    """One that runs."""
    head = exchange.head
    return {
        "method": head.method,
        "path": head.path,
        "id": exchange.request_id,
        "age": round(max(0.0, age), 3),
        "answering": answering,
    }


def census(app: App, queue: JobQueue, crew: Crew, nurse: Nurse) -> dict[str, Any]:
    """Plain values, ready for JSON. Sizes in bytes, times in seconds."""
    now = monotonic()
    running: dict[int, list[dict[str, Any]]] = {}
    for job_id, (slot, since) in queue.claims().items():
        job = queue.pending.get(job_id)
        if job is not None:
            said = request(job.exchange, now - max(since, job.sent), job.answering is not None)
            running.setdefault(slot // app.threads, []).append(said)
    workers = []
    for worker in crew:
        requests = sorted(running.get(worker.seat, []), key=_age)[:REQUESTS_MAX]
        state = worker.state
        if state == "ready":
            state = "busy" if requests else "idle"
        workers.append(
            {
                "pid": worker.pid,
                "state": state,
                "age": round(now - worker.ready, 3) if worker.ready else 0.0,
                "served": worker.served,
                "rss": memory.resident(worker.pid)[0] if worker.pid else 0,
                "why": worker.why or worker.worn,
                "requests": requests,
            }
        )
    recent = [{"at": round(at, 3), "pid": pid, "reason": reason} for at, pid, reason in crew.recent]
    return {
        "nursery": nurse.pid,
        "target": crew.target,
        "workers": workers,
        "ends": dict(crew.ends),
        "recent": recent,
        "failure": nurse.failure,
    }


def thread_census(state: str, pid: int, tasks: list[Any], trouble: str) -> dict[str, Any]:
    """The same of a pool of threads, whose one worker is the front."""
    now = monotonic()
    requests = sorted((request(task.exchange, now - task.claimed, task.answered) for task in tasks), key=_age)
    worker = {
        "pid": pid,
        "state": state,
        "age": 0.0,
        "served": 0,
        "rss": memory.resident(pid)[0],
        "why": "",
        "requests": requests[:REQUESTS_MAX],
    }
    return {"nursery": 0, "target": 1, "workers": [worker], "ends": {}, "recent": [], "failure": trouble}


def thread_stacks(tasks: list[Any]) -> str:
    """The stacks of the threads that run these tasks."""
    now = monotonic()
    return "\n".join(
        f"{describe(task.exchange, now - task.claimed)}:\n{stack_of(task.thread)}" for task in tasks if task.thread
    )


def stack_of(thread: Thread) -> str:
    """Of a thread of this process, as text; "" if it has ended."""
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""


def describe(exchange: Any, age: float) -> str:
    """A request and for how long it has run."""
    path = "".join(character if character.isprintable() else "?" for character in exchange.head.path)
    return f"{exchange.head.method} {path} req={exchange.request_id}, for {age:.1f} s"


def _age(request: dict[str, Any]) -> float:
    return -float(request["age"])
