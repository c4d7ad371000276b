"""A plain web server on loopback: files below a folder, in parts, with a tag that changes with their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar


class WebHandler(BaseHTTPRequestHandler):
    folder: ClassVar[Path]
    asked: ClassVar[list[str]]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, with_body: bool) -> None:
        path = self.folder / self.path.partition("?")[0].lstrip("/")
        content = path.read_bytes() if path.is_file() else b""
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        body = content[int(part[1]) : int(part[2]) + 1] if part else content
        self.asked.append(f"{self.command} {path.name} {part[0] if part else ''}".rstrip())
        self.send_response(404 if not path.is_file() else 206 if part else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", hashlib.md5(content).hexdigest())
        self.send_header("Content-Length", str(len(body)))
        if part:
            self.send_header("Content-Range", f"bytes {part[1]}-{int(part[1]) + len(body) - 1}/{len(content)}")
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@contextmanager
def web_server(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, and what it was asked for."""
    asked: list[str] = []
    handler = type("Handler", (WebHandler,), {"folder": folder, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
