"""A loopback HTTP server that speaks enough of the Hugging Face hub for `snapshot_download`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

REPO = "jat-project/jat-dataset-tokenized"
RAW_REPO = "jat-project/jat-dataset"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves the files below `folder` as the dataset REPO, and those below `raw` as RAW_REPO.

    `sent` lists the files whose bytes were asked for.
    """

    daemon_threads = True

    def __init__(self, folder: Path, raw: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders = {REPO: folder} | ({RAW_REPO: raw} if raw else {})
        self.sent: list[str] = []
        self.broken: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(folder: Path, raw: Path | None = None) -> Iterator[Hub]:
    """A running Hub."""
    with Hub(folder, raw) as hub:
        thread = Thread(target=hub.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        for repo, folder in self.server.folders.items():
            if path in (f"/api/datasets/{repo}/revision/main", f"/api/datasets/{repo}"):
                self._json({"id": repo, "sha": COMMIT, "private": False, "tags": [], "siblings": []})
                return
            if path == f"/api/datasets/{repo}/tree/{COMMIT}":
                self._json([_entry(file, folder) for file in _files(folder)])
                return
            if path.startswith(f"/datasets/{repo}/resolve/{COMMIT}/"):
                self._file(folder, path.removeprefix(f"/datasets/{repo}/resolve/{COMMIT}/"))
                return
        self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _file(self, folder: Path, name: str) -> None:
        if name in self.server.broken:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        content = (folder / name).read_bytes()
        if self.command == "GET":
            self.server.sent.append(name)
        self._answer(200, content, {"ETag": f'"{_sha1(content)}"', "X-Repo-Commit": COMMIT})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(path: Path, folder: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"type": "file", "path": path.relative_to(folder).as_posix(), "size": len(content), "oid": _sha1(content)}


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
