"""A real browser for tests: Chromium without a window, asked through its DevTools pipe."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed"
)

PATIENCE = 120
"""Seconds."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--window-size=1200,2600",
)


def chromium(folder: Path, file: Path, dark: bool, *options: str) -> str:
    """What Chromium prints for a file, in the light or the dark scheme."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", scheme, *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def asked(folder: Path, file: Path, script: str) -> Any:
    """The value that a script's promise gives on the page of a file; pixels of files may be read there."""
    options = ["--remote-debugging-pipe", "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}"]
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, from_write)]  # out of the way of 3 and 4
    for end in (to_read, from_write):
        os.close(end)

    def pipes() -> None:  # Chromium reads commands from descriptor 3 and answers on 4
        for number, end in enumerate(ends, start=3):
            os.dup2(end, number)

    command = [str(CHROMIUM), *FLAGS, *options, "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with open(to_write, "wb") as commands, open(from_read, "rb") as answers:
        browser = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=pipes, **quiet)
        for end in ends:
            os.close(end)
        stuck = threading.Timer(PATIENCE, browser.kill)  # ends the pipe, and with it the wait for an answer
        stuck.start()
        try:
            return _told(_Pipe(commands, answers), file, script)
        finally:
            stuck.cancel()
            browser.terminate()
            browser.wait(30)


class _Pipe:
    """Commands out, answers in: JSON, ended by a zero byte."""

    def __init__(self, commands, answers) -> None:
        self._commands, self._answers, self._number = commands, answers, 0
        self._events: set[str] = set()

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def until(self, event: str) -> None:
        while event not in self._events:
            self._next()

    def _next(self) -> dict[str, Any]:
        held = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "Chromium ended"
            held += byte
        message = json.loads(held)
        self._events.add(message.get("method", ""))
        return message


def _told(pipe: _Pipe, file: Path, script: str) -> Any:
    target = pipe.call("Target.createTarget", url="about:blank")["targetId"]
    session = pipe.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    pipe.call("Page.enable", session)
    pipe.call("Page.navigate", session, url=file.as_uri())
    pipe.until("Page.loadEventFired")
    expression = f"(async () => {{ {script} }})()"
    told = pipe.call("Runtime.evaluate", session, expression=expression, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in told, told["exceptionDetails"]
    return told["result"].get("value")
