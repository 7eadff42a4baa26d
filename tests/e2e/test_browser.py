"""Server-sent events as a real browser hears them, with nothing set but what every site sets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import APPS, Server, eventually

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "firefox"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no browser here")


def command(url: str, profile: Path) -> list[str]:
    assert BROWSER is not None
    if "firefox" in BROWSER:
        return [BROWSER, "--headless", "--profile", str(profile), url]
    return [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={profile}", "--remote-debugging-port=0", url]  # fmt: skip


@pytest.mark.parametrize("mode", ["prefork", "threads"])
def test_events_come_one_by_one_and_the_browser_comes_back(tmp_path: Path, transport: str, mode: str) -> None:
    heard, profile = tmp_path / "heard", tmp_path / "profile"
    profile.mkdir()
    ini = f"""
[listen:http]
address = 127.0.0.1:0
[site:demo]
[route:demo /]
app = watched
[app:watched]
wsgi = watched:application
path = {APPS}
mode = {mode}
threads = 4
env = HEARD={heard}
"""
    with Server(tmp_path, ini, transport) as server:
        browser = subprocess.Popen(
            command(f"{server.url}/", profile),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            eventually(lambda: heard.exists() and heard.read_text().count("\n") >= 5, "it was not heard", 40)
        finally:
            os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
    lines = heard.read_text().splitlines()[:5]
    assert lines == ["1 one", "2 two", "3 one", "4 two", "5 one"]
