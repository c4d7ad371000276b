"""Google Cloud Storage on loopback, as far as listing, downloading and uploading need it.

Pages, ranges, checksums, faults; uploads of one request, and resumable ones of one piece.

It speaks what gcsfs 2026.10 asks for, with the standard library alone. Clients find it by STORAGE_EMULATOR_HOST:

    with serving(folder) as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        ...  # gs://atari-replay-datasets/ is `folder`
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "atari-replay-datasets"


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match `pattern`: LIST prefix, GET, INFO or PUT object.

    Attributes:
        status: answer with this. 0: answer as if nothing were wrong, but for the rest.
        drop: close the connection after so many bytes of the body.
        stall: send so many bytes of the body, then nothing more until the server ends.
        short: send only so many bytes of the body, as a proper answer.
        flip: alter the first byte.
        ranged: False sends the whole file, whatever range was asked for.
        skip: leave so many matching requests alone first.
    """

    pattern: str
    status: int = 0
    drop: int | None = None
    stall: int | None = None
    short: int | None = None
    flip: bool = False
    ranged: bool = True
    times: int = 1
    skip: int = 0


class Gcs(ThreadingHTTPServer):
    """A running server of one bucket, whose objects are the files below a folder.

    Attributes:
        page: most items on one page of a listing.
        faults: what is to go wrong.
        listed: by object name, what its listing says instead of the truth (size, md5Hash, crc32c; None: not told).
            Names without a file appear too.
        encoding: Content-Encoding of every object, as for files that were uploaded compressed.
        log: the text and Range header of every request, in order.
        sent: bytes of content that went out, by object name.
        authorized: requests that came with credentials.
        unknown: requests that no endpoint is for.
        reached: set when a request stalls.
    """

    daemon_threads = True

    def __init__(self, folder: Path, bucket: str = BUCKET) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.bucket = bucket
        self.page = 1000
        self.faults: list[Fault] = []
        self.listed: dict[str, dict[str, Any]] = {}
        self.encoding: str | None = None
        self.log: list[tuple[str, str]] = []
        self.sent: Counter[str] = Counter()
        self.authorized: list[str] = []
        self.unknown: list[str] = []
        self.reached, self.ended = Event(), Event()
        self.lock = Lock()
        self._items: dict[tuple[str, int, int], dict[str, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, pattern: str, **what: Any) -> Fault:
        """Let requests fail; the arguments are those of Fault."""
        fault = Fault(pattern, **what)
        self.faults.append(fault)
        return fault

    def requests(self, pattern: str) -> list[str]:
        return [text for text, _ in self.log if re.search(pattern, text)]

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""

    def items(self, prefix: str) -> list[dict[str, Any]]:
        """The resources of all objects whose name begins with `prefix`, in order."""
        files = {path.relative_to(self.folder).as_posix(): path for path in self.folder.rglob("*") if path.is_file()}
        names = sorted(name for name in files.keys() | self.listed.keys() if name.startswith(prefix))
        told = [{**self._item(name, files.get(name)), **self.listed.get(name, {})} for name in names]
        return [{key: value for key, value in item.items() if value is not None} for item in told]

    def _item(self, name: str, path: Path | None) -> dict[str, Any]:
        item = {"kind": "storage#object", "name": name, "bucket": self.bucket, "generation": "1"}
        if path is None:
            return {**item, "size": "0"}
        stat = path.stat()
        key = (name, stat.st_size, stat.st_mtime_ns)
        if key not in self._items:
            content = path.read_bytes()
            self._items[key] = {
                "size": str(len(content)),
                "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
                "crc32c": base64.b64encode(crc32c(content).to_bytes(4, "big")).decode(),
            }
        return {**item, **self._items[key]}


@contextmanager
def serving(folder: Path, bucket: str = BUCKET) -> Iterator[Gcs]:
    """A running Gcs."""
    with Gcs(folder, bucket) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Gcs
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        found = re.fullmatch(r"(/download)?/storage/v1/b/([^/]+)/o(?:/([^/]+))?", address.path)
        media, bucket, quoted = found.groups() if found else (None, None, None)
        listing, name = quoted is None, unquote(quoted or "")
        text = f"LIST {query.get('prefix', '')}" if listing else f"{'GET' if media else 'INFO'} {name}"
        with self.server.lock:
            self.server.log.append((text, self.headers.get("Range", "")))
            if "Authorization" in self.headers:
                self.server.authorized.append(text)
            self.fault = self._next_fault(text)
        if self.fault and self.fault.status:
            self._error(self.fault.status, "told to fail")
        elif found is None:
            self.server.unknown.append(self.path)
            self._error(404, "Not Found")
        elif bucket != self.server.bucket:
            self._error(404, "The specified bucket does not exist.")
        elif listing:
            self._list(query)
        elif media:
            self._media(name)
        else:
            self._info(name)

    def do_POST(self) -> None:
        address = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.fullmatch(r"/upload/storage/v1/b/([^/]+)/o", address.path)
        self.fault = None
        if query.get("uploadType") == "resumable" and "upload_id" not in query:
            where = f"{self.server.url}{self.path}&upload_id=1"
            self._send(200, b"{}", {"Location": where})
            return
        content, name = body, query.get("name", "")
        if query.get("uploadType") == "multipart":
            told, content = _parts(body)
            name = json.loads(told)["name"]
        with self.server.lock:
            self.server.log.append((f"PUT {name}", ""))
            self.fault = self._next_fault(f"PUT {name}")
        if self.fault and self.fault.status:
            self._error(self.fault.status, "told to fail")
        elif found is None or found[1] != self.server.bucket:
            self._error(404, "The specified bucket does not exist.")
        else:
            path = self.server.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if self.fault is None or self.fault.short is None else content[: self.fault.short])
            self.fault = None
            item = next(each for each in self.server.items(name) if each["name"] == name)
            self._send(200, json.dumps(item).encode(), {"Content-Type": "application/json"})

    def _next_fault(self, text: str) -> Fault | None:
        for fault in self.server.faults:
            if fault.times and re.search(fault.pattern, text):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items: dict[str, dict[str, Any] | None] = {}  # by name; a prefix has none
        for item in self.server.items(prefix):
            inner = item["name"][len(prefix) :]
            if delimiter and delimiter in inner:
                items[prefix + inner.split(delimiter)[0] + delimiter] = None
            else:
                items[item["name"]] = item
        start = int(query.get("pageToken", "p0")[1:])
        end = start + min(self.server.page, int(query.get("maxResults", "1000")))
        page = list(items.items())[start:end]
        answer: dict[str, Any] = {
            "kind": "storage#objects",
            "items": [item for _, item in page if item is not None],
            "prefixes": [name for name, item in page if item is None],
        }
        if end < len(items):
            answer["nextPageToken"] = f"p{end}"
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _info(self, name: str) -> None:
        item = next((item for item in self.server.items(name) if item["name"] == name), None)
        if item is None:
            self._error(404, f"No such object: {self.server.bucket}/{name}")
        else:
            self._send(200, json.dumps(item).encode(), {"Content-Type": "application/json"})

    def _media(self, name: str) -> None:
        path = self.server.folder / name
        if not path.resolve().is_relative_to(self.server.folder.resolve()) or not path.is_file():
            self._error(404, f"No such object: {self.server.bucket}/{name}")
            return
        headers = {"Content-Type": "application/octet-stream"}
        if self.server.encoding:
            headers["Content-Encoding"] = self.server.encoding
        size, start, end, status = path.stat().st_size, 0, path.stat().st_size, 200
        ranged = self.headers.get("Range", "") if self.fault is None or self.fault.ranged else ""
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", ranged):
            start, end, status = int(asked[1]), min(size, int(asked[2] or size) + 1), 206
            if start >= size:
                self._error(416, "The requested range cannot be satisfied.")
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        with path.open("rb") as file:
            file.seek(start)
            self._send(status, file.read(end - start), headers, name)

    def _error(self, status: int, message: str) -> None:
        answer = {"error": {"code": status, "message": message}}
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str], name: str | None = None) -> None:
        fault = self.fault or Fault("")
        if fault.flip:
            body = bytes([body[0] ^ 255]) + body[1:]
        if fault.short is not None:
            body = body[: fault.short]
        cut = fault.drop if fault.drop is not None else fault.stall
        sends = body if cut is None else body[:cut]
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if name is not None:
            with self.server.lock:
                self.server.sent[name] += len(sends)
        self.wfile.write(sends)
        if fault.stall is not None:
            self.server.reached.set()
            self.server.ended.wait(120)
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


def _parts(body: bytes) -> tuple[bytes, bytes]:
    """The JSON and the content of an upload of one request, as gcsfs frames them."""
    _, told, content = body.split(b"\n\n", 2)
    return told.split(b"\n--==0==")[0], content.removesuffix(b"\n--==0==--")


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = _crc32c_table()


def crc32c(content: bytes) -> int:
    """The Castagnoli checksum, as RFC 3720 has it: 0xE3069283 of b"123456789". About 5 MB a second."""
    value = 0xFFFFFFFF
    for byte in content:
        value = value >> 8 ^ TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF
