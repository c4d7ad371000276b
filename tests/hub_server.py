"""A Hugging Face hub on loopback, as far as this project needs one: repositories, commits, files, faults.

It speaks what huggingface_hub 2.4 and datasets 5.2 ask for, keeps its files in a folder, checks every SHA-256, and can
be told to fail. Large files come by redirect from another origin, as on the real hub.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

WRITER, READER = "hf_writer_token", "hf_reader_token"
LARGE = (".parquet", ".bin", ".zip", ".npz", ".hdf5")
ASIDE = ("/api/agent-harnesses",)
"""What the client asks for on its own account; it goes on without."""
KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass
class File:
    """A file of a commit; its content lies in the server's folder under `checksum`."""

    size: int
    git: str
    sha256: str | None = None

    @property
    def checksum(self) -> str:
        return self.sha256 or self.git


@dataclass
class Repo:
    """Commits in order, each a whole tree; branches name commits."""

    kind: str
    name: str
    private: bool
    trees: dict[str, dict[str, File]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, tree: dict[str, File], message: str) -> str:
        oid = hashlib.sha1(f"{self.name}{len(self.trees)}{message}".encode()).hexdigest()
        self.trees[oid] = tree
        self.branches[branch] = oid
        self.messages.append(message)
        return oid

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.trees else None)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose method and path match.

    Attributes:
        status: answer with this; 0 drops the connection after `after` bytes of the body, read or written.
        reset: drop it with a reset instead of a quiet end.
        late: do what was asked, then drop the answer.
    """

    pattern: str
    status: int = 503
    times: int = 1
    after: int = 0
    reset: bool = False
    late: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "told to fail"}'


class Hub(ThreadingHTTPServer):
    """A running hub.

    Attributes:
        repos: by kind and name.
        log: (method, path, Range header) of every request, in order.
        received: checksum of every large file whose bytes came in whole.
        unknown: requests that no endpoint is for.
        leaks: paths of the other origin that were asked for with a token.
        faults: what is to go wrong.
        part_bytes: large files above this are asked for in parts of this size.
        page: entries of a listing on one page.
        reached, opened: set when a request waits (`hold`), and to let it go on.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.log: list[tuple[str, str, str]] = []
        self.received: list[str] = []
        self.unknown: list[str] = []
        self.leaks: list[str] = []
        self.faults: list[Fault] = []
        self.tokens = {WRITER: True, READER: False}
        self.part_bytes: int | None = None
        self.page = 1000
        self.gate: tuple[str, int] | None = None
        self.reached, self.opened = Event(), Event()
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that was killed is no news."""

    def repo(self, name: str, kind: str = "dataset") -> Repo:
        return self.repos[kind, name]

    def files(self, name: str, branch: str = "main", kind: str = "dataset") -> dict[str, File]:
        repo = self.repo(name, kind)
        return repo.trees[repo.branches[branch]]

    def content(self, name: str, path: str) -> bytes:
        return (self.folder / self.files(name)[path].checksum).read_bytes()

    def fail(self, pattern: str, status: int = 503, **more: Any) -> Fault:
        """Let a request fail: `pattern` is a regular expression for `METHOD path`."""
        fault = Fault(pattern, status, **more)
        self.faults.append(fault)
        return fault

    def hold(self, pattern: str, skip: int = 0) -> None:
        """Let one request wait until `opened` is set: the first that matches, after `skip` others."""
        self.gate = pattern, skip

    def create(self, name: str, kind: str = "dataset", private: bool = False) -> Repo:
        repo = self.repos[kind, name] = Repo(kind, name, private)
        repo.commit("main", {".gitattributes": self.keep(b"*.parquet filter=lfs\n", large=False)}, "initial commit")
        return repo

    def create_from(self, folder: Path, name: str, kind: str = "dataset") -> None:
        """A repository with the files below a folder."""
        self.create(name, kind)
        files = (path for path in folder.rglob("*") if path.is_file())
        self.put(name, {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}, kind=kind)

    def put(self, name: str, files: dict[str, bytes], remove: tuple[str, ...] = (), kind: str = "dataset") -> None:
        """Commit some files, as another writer would."""
        repo, kept = self.repo(name, kind), dict(self.files(name, kind=kind))
        kept |= {path: self.keep(content, path.endswith(LARGE)) for path, content in files.items()}
        repo.commit("main", {path: file for path, file in kept.items() if path not in remove}, "by hand")

    def keep(self, content: bytes, large: bool) -> File:
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        file = File(len(content), git, hashlib.sha256(content).hexdigest() if large else None)
        (self.folder / file.checksum).write_bytes(content)
        return file

    def sent(self, name: str, kind: str = "dataset") -> list[str]:
        """The files of a repository whose bytes were asked for, sorted, each as often; equal contents count as one."""
        found = []
        for path, file in self.files(name, kind=kind).items():
            place = f"/cdn/{file.sha256}" if file.sha256 else f".*/{name}/resolve/[^/]+/{re.escape(path)}"
            found += [path] * len(self.requests(f"^GET {place}$"))
        return sorted(found)

    def requests(self, pattern: str) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.log if re.search(pattern, f"{method} {path}")]


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[Hub]:
    """A running Hub."""
    with Hub(folder, port) as hub:
        thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.opened.set()
            hub.shutdown()
            thread.join()


class Answered(Exception):
    """The request has been answered."""


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    ROUTES = (
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/revision/([^/]+))?", "info"),
        ("GET", r"/api/(datasets)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.+))?", "tree"),
        ("POST", r"/api/(datasets)/([^/]+/[^/]+)/paths-info/([^/]+)", "paths"),
        ("POST", r"/api/(datasets)/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("GET", r"/api/(datasets)/([^/]+/[^/]+)/refs", "refs"),
        ("POST", r"/api/(datasets)/([^/]+/[^/]+)/tag/([^/]+)", "tag"),
        ("DELETE", r"/api/(datasets)/([^/]+/[^/]+)/tag/([^/]+)", "untag"),
        ("POST", r"/api/(datasets)/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/(datasets)/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/(datasets)/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("PUT", r"/large/(\w{64})", "receive"),
        ("PUT", r"/part/(\w{64})/(\d+)", "receive_part"),
        ("POST", r"/complete/(\w{64})", "complete"),
        ("POST", r"/verify/(\w{64})", "verify"),
        ("GET", r"/(datasets)/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve_model"),
        ("GET", r"/cdn/(\w{64})", "cdn"),
    )

    def log_message(self, *_: object) -> None: ...

    def handle_all(self) -> None:
        self.path_only = urlsplit(self.path).path
        where = f"{self.command} {unquote(self.path_only)}"
        with self.server.lock:
            self.server.log.append((self.command, unquote(self.path_only), self.headers.get("Range", "")))
            fault = next((f for f in self.server.faults if f.times and re.search(f.pattern, where)), None)
            if fault:
                fault.times -= 1
            waits = self._at_gate(where)
        self.fault = fault
        try:
            if waits:
                self.server.reached.set()
                self.server.opened.wait(60)
            self.body = self._read()
            if fault and fault.status:
                self.answer(fault.status, fault.body, fault.headers)
            self._route()
        except Answered:
            pass

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_all

    def _at_gate(self, where: str) -> bool:
        if self.server.gate is None or not re.search(self.server.gate[0], where):
            return False
        pattern, skip = self.server.gate
        self.server.gate = (pattern, skip - 1) if skip else None
        return skip == 0

    def _route(self) -> None:
        method = "GET" if self.command == "HEAD" else self.command
        for verb, pattern, name in self.ROUTES:
            if verb == method and (found := re.fullmatch(pattern, self.path_only)):
                getattr(self, name)(*(unquote(group) if group else group for group in found.groups()))
        if self.path_only not in ASIDE:
            self.server.unknown.append(f"{self.command} {self.path}")
        self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})

    # plumbing

    def _read(self) -> bytes:
        """The request's body; a fault that drops takes `after` bytes of it and ends the connection."""
        drops = self.fault is not None and not self.fault.status and not self.fault.late
        drop = drops and self.command in ("POST", "PUT")
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            blocks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                blocks.append(self.rfile.read(size))
                self.rfile.readline()
                if drop:
                    self._drop()
            self.rfile.readline()
            body = b"".join(blocks)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(min(length, self.fault.after) if drop and self.fault else length)
        if drop:
            self._drop()
        return body

    def _drop(self) -> None:
        if self.fault and self.fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR) if not (self.fault and self.fault.reset) else self.connection.close()
        self.close_connection = True
        raise Answered

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            if self.fault and not self.fault.status:
                self.wfile.write(body[: self.fault.after])
                self._drop()
            self.wfile.write(body)
        raise Answered

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        more = {key.replace("_", "-"): text for key, text in headers.items()}
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **more})

    # who may do what

    @property
    def token(self) -> str | None:
        header: str | None = self.headers.get("Authorization")
        return header.removeprefix("Bearer ") if header else None

    def known(self) -> bool:
        if self.token is not None and self.token not in self.server.tokens:
            said = f"Invalid credentials in Authorization header: {self.token}"  # a hub that repeats the token
            self.json({"error": said}, 401, X_Error_Message="Invalid credentials in Authorization header")
        return self.token is not None

    def writable(self) -> None:
        if not self.known():
            self.json({"error": "Invalid username or password."}, 401)
        if not self.server.tokens[self.token or ""]:
            self.json({"error": "You don't have the rights"}, 403, X_Error_Message="You don't have the rights")

    def found(self, kinds: str, name: str, revision: str | None) -> tuple[Repo, str]:
        known = self.known()
        repo = self.server.repos.get((KINDS[kinds], name))
        if repo is None or (repo.private and not known):
            self.json({"error": "Repository not found"}, 404 if known else 401, X_Error_Code="RepoNotFound")
        assert repo is not None
        oid = repo.find(revision or "main")
        if oid is None:
            self.json({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        assert oid is not None
        return repo, oid

    # endpoints

    def create(self) -> None:
        self.writable()
        asked = json.loads(self.body)
        name, kind = f"{asked['organization']}/{asked['name']}", asked.get("type", "model")
        if (kind, name) in self.server.repos:
            self.json({"error": f"You already created this {kind} repo: {name}"}, 409)
        self.server.create(name, kind, asked.get("visibility") == "private" or bool(asked.get("private")))
        self.json({"url": f"{self.server.url}/{kind}s/{name}", "name": name})

    def whoami(self) -> None:
        self.writable()
        self.json({"name": "me", "type": "user"})

    def validate(self) -> None:
        head = json.loads(self.body)["content"].split("---\n")[1]
        entries = yaml.safe_load(head).get("configs", [])
        names = [entry["config_name"] for entry in entries]
        errors = [] if len(names) == len(set(names)) else [{"message": "a configuration is there twice"}]
        self.json({"warnings": [], "errors": errors}, 400 if errors else 200)

    def info(self, kinds: str, name: str, revision: str | None) -> None:
        repo, oid = self.found(kinds, name, revision)
        files = [{"rfilename": path} for path in repo.trees[oid]]
        facts = {
            "id": name,
            "sha": oid,
            "private": repo.private,
            "tags": [],
            "siblings": files,
            "downloads": 0,
            "likes": 0,
        }
        self.json(facts)

    def tree(self, kinds: str, name: str, revision: str, folder: str | None) -> None:
        repo, oid = self.found(kinds, name, revision)
        query = parse_qs(urlsplit(self.path).query)
        entries = _entries(
            repo.trees[oid], folder or "", query.get("recursive") == ["true"] or "True" in query.get("recursive", [])
        )
        if folder and not entries:
            self.json({"error": "no such folder"}, 404, X_Error_Code="EntryNotFound")
        start = int(query.get("cursor", ["0"])[0])
        page = entries[start : start + self.server.page]
        if start + self.server.page < len(entries):
            base = self.path.split("&cursor=")[0]
            self.json(page, Link=f'<{self.server.url}{base}&cursor={start + self.server.page}>; rel="next"')
        self.json(page)

    def paths(self, kinds: str, name: str, revision: str) -> None:
        repo, oid = self.found(kinds, name, revision)
        wanted = parse_qs(self.body.decode()).get("paths", [])
        entries = {entry["path"]: entry for entry in _entries(repo.trees[oid], "", True)}
        self.json([entries[path] for path in wanted if path in entries])

    def branch(self, kinds: str, name: str, branch: str) -> None:
        self.writable()
        repo, oid = self.found(kinds, name, None)
        if branch in repo.branches:
            self.json({"error": "Reference already exists"}, 409)
        repo.branches[branch] = oid
        self.json({})

    def refs(self, kinds: str, name: str) -> None:
        repo, _ = self.found(kinds, name, None)
        named = {"branches": repo.branches, "tags": repo.tags}
        self.json(
            {
                kind: [{"name": n, "ref": n, "targetCommit": c} for n, c in there.items()]
                for kind, there in named.items()
            }
            | {"converts": []}
        )

    def tag(self, kinds: str, name: str, revision: str) -> None:
        self.writable()
        repo, oid = self.found(kinds, name, revision)
        wanted = json.loads(self.body)["tag"]
        if wanted in repo.tags:
            self.json({"error": "Tag reference exists already"}, 409)
        repo.tags[wanted] = oid
        self.json({})

    def untag(self, kinds: str, name: str, tag: str) -> None:
        self.writable()
        repo, _ = self.found(kinds, name, None)
        del repo.tags[tag]
        self.json({})

    def preupload(self, kinds: str, name: str, revision: str) -> None:
        self.writable()
        repo, oid = self.found(kinds, name, revision)
        answers = []
        for file in json.loads(self.body)["files"]:
            there = repo.trees[oid].get(file["path"])
            large = file["path"].endswith(LARGE) or file["size"] > 10 * 2**20
            known = {"oid": there.checksum} if there else {}
            mode = "lfs" if large else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **known})
        self.json({"files": answers})

    def batch(self, kinds: str, name: str) -> None:
        self.writable()
        self.found(kinds, name, None)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            one: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if not (self.server.folder / asked["oid"]).is_file():
                one["actions"] = {
                    "upload": self._upload(asked["oid"], asked["size"]),
                    "verify": {"href": f"{self.server.url}/verify/{asked['oid']}"},
                }
            objects.append(one)
        self.json({"transfer": "basic", "objects": objects})

    def _upload(self, oid: str, size: int) -> dict[str, Any]:
        step = self.server.part_bytes
        if step is None or size <= step:
            return {"href": f"{self.server.url}/large/{oid}"}
        parts = {str(n + 1): f"{self.server.url}/part/{oid}/{n + 1}" for n in range(-(-size // step))}
        return {"href": f"{self.server.url}/complete/{oid}", "header": {"chunk_size": str(step), **parts}}

    def receive(self, oid: str) -> None:
        self._keep(oid, self.body)
        self.answer(200)

    def receive_part(self, oid: str, number: str) -> None:
        (self.server.folder / f"{oid}.part-{number}").write_bytes(self.body)
        self.answer(200, headers={"ETag": f'"{hashlib.md5(self.body).hexdigest()}"'})

    def complete(self, oid: str) -> None:
        parts = [self.server.folder / f"{oid}.part-{part['partNumber']}" for part in json.loads(self.body)["parts"]]
        self._keep(oid, b"".join(part.read_bytes() for part in parts))
        self.json({})

    def _keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            self.json({"error": "wrong checksum"}, 400)
        (self.server.folder / oid).write_bytes(content)
        self.server.received.append(oid)

    def verify(self, oid: str) -> None:
        self.writable()
        there = self.server.folder / oid
        whole = there.is_file() and there.stat().st_size == json.loads(self.body)["size"]
        self.json({}, 200 if whole else 404)

    def commit(self, kinds: str, name: str, revision: str) -> None:
        self.writable()
        repo, _ = self.found(kinds, name, revision)
        with self.server.lock:
            oid = repo.branches[revision]
            lines = [json.loads(line) for line in self.body.splitlines()]
            header = lines[0]["value"]
            tree = dict(repo.trees[oid])
            problem = self._apply(tree, lines[1:])
            stale = header.get("parentCommit") not in (None, oid)
            made = "" if problem or stale else repo.commit(revision, tree, header["summary"])
        if stale:
            self.json({"error": "A commit has happened since. Please refresh and try again."}, 412)
        if problem:
            self.json({"error": problem}, 400)
        self.json({"commitUrl": f"{self.server.url}/{kinds}/{name}/commit/{made}", "commitOid": made, "success": True})

    def _apply(self, tree: dict[str, File], lines: list[dict[str, Any]]) -> str:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = self.server.keep(base64.b64decode(value["content"]), large=False)
            elif line["key"] == "lfsFile":
                path = self.server.folder / value["oid"]
                if not path.is_file() or path.stat().st_size != value["size"]:
                    return f"{value['path']} was never uploaded"
                pointer = f"oid sha256:{value['oid']}\nsize {value['size']}\n".encode()
                tree[value["path"]] = File(value["size"], hashlib.sha1(pointer).hexdigest(), value["oid"])
            elif line["key"] == "deletedFile":
                if value["path"] not in tree:
                    return f"A file with this name doesn't exist: {value['path']}"
                del tree[value["path"]]
            else:
                return f"unknown operation {line['key']}"
        return ""

    def resolve(self, kinds: str, name: str, revision: str, path: str) -> None:
        repo, oid = self.found(kinds, name, revision)
        file = repo.trees[oid].get(path)
        if file is None:
            self.json({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
        assert file is not None
        headers = {"X-Repo-Commit": oid, "ETag": f'"{file.git}"'}
        if file.sha256:
            other = f"http://localhost:{self.server.server_port}/cdn/{file.sha256}"
            linked = {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"', "Location": other}
            self.answer(302, b"", headers | linked)
        self._send((self.server.folder / file.checksum).read_bytes(), headers)

    def resolve_model(self, name: str, revision: str, path: str) -> None:
        self.resolve("models", name, revision, path)

    def cdn(self, oid: str) -> None:
        if self.token:
            self.server.leaks.append(self.path)
        self._send((self.server.folder / oid).read_bytes(), {"ETag": f'"{oid}"'})

    def _send(self, content: bytes, headers: dict[str, str]) -> None:
        headers["Accept-Ranges"] = "bytes"
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(asked[1]), int(asked[2]) + 1 if asked[2] else len(content)
            headers["Content-Range"] = f"bytes {start}-{min(stop, len(content)) - 1}/{len(content)}"
            self.answer(206, content[start:stop], headers)
        self.answer(200, content, headers)


def _entries(tree: dict[str, File], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Files below a folder as the hub lists them, and folders."""
    start = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(tree):
        if not path.startswith(start):
            continue
        below = path.removeprefix(start).split("/")
        for depth in range(1, len(below)):
            name = start + "/".join(below[:depth])
            if depth == 1 or recursive:
                entries[name] = {
                    "type": "directory",
                    "path": name,
                    "oid": hashlib.sha1(quote(name).encode()).hexdigest(),
                    "size": 0,
                }
        if len(below) == 1 or recursive:
            file = tree[path]
            entries[path] = {"type": "file", "path": path, "oid": file.git, "size": file.size}
            if file.sha256:
                entries[path]["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
    return list(entries.values())
