"""Files that are elsewhere: the file system of an address, what is tried again there, and errors in plain words.

fsspec and what stands behind it are imported at first use: loading them takes longer than a run that needs neither.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra
from pipeline.machine.secrets import refuse_password, without_secrets
from pipeline.remote.retry import Retry

TRIES = 5

STALL_SECONDS = 60.0
"""How long Google's storage may send nothing before the connection counts as broken."""

PASSING_STATUS = (408, 429, 500, 502, 503, 504)
"""Answers of a server that may differ a moment later: busy or broken."""

FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
GOOGLE = ("gs", "gcs")
AMAZON = ("s3", "s3a")

T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """A folder of some file system.

    Attributes:
        address: as given, without a name or password.
        path: of the folder, as the file systems write it, without a last slash.
        lists: the file system (fsspec) that lists.
        reads: the one that reads; it gives the bytes that are stored, even where a listing comes compressed.
        together: files that may be read at the same time.
    """

    address: str
    path: str
    lists: Any
    reads: Any
    together: int


def connect(address: str, setting: str, writes: bool = False, one_file: bool = False) -> Remote:
    """The file system of an fsspec URL. gs:// is read without credentials, at STORAGE_EMULATOR_HOST where that is set.

    With `writes` files are to be sent there: gs:// with the credentials that Google's own tools keep. With `one_file`
    the address may be that of a file, which a web server can give. `setting` names the address in messages. Raises
    InvalidInput for one that cannot be used, or holds a password.
    """
    refuse_password(address, setting)
    shown = scrubbed(address)
    protocol, _, rest = address.partition("://")
    if protocol in ("http", "https") and not one_file:
        raise InvalidInput(
            f"{setting}={shown}: a plain web server lists no files with sizes and checksums. Give a bucket "
            f"(gs://BUCKET/FOLDER for Google's), another address of fsspec that lists, or a folder."
        )
    if protocol not in GOOGLE:
        return _any(address, shown, setting)
    if not rest.strip("/"):
        raise InvalidInput(f"{setting}={shown} names no bucket; write gs://BUCKET/FOLDER.")
    return Remote(shown, rest.strip("/"), _google(True, writes), _google(False, writes), 4)


def folder_of_files(folder: Path) -> Remote:
    """A folder of this machine, read and written by the same steps as what lies elsewhere."""
    from fsspec.implementations.local import LocalFileSystem

    system = LocalFileSystem()
    return Remote(str(folder), str(folder), system, system, 2)


def _any(address: str, shown: str, setting: str) -> Remote:
    from fsspec.core import url_to_fs

    if address.partition("://")[0] in AMAZON:
        import_extra("s3", "s3fs")
        for name in ("aiobotocore", "botocore"):  # they tell where they found keys and endpoint, each time
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        system, path = url_to_fs(address)
    except (ImportError, ValueError, OSError) as error:
        raise InvalidInput(f"{setting}={shown} cannot be opened: {error_line(error)}") from error
    # what fsspec drives from one event loop can be asked by several threads; of the others each makes its own rules
    return Remote(shown, path.rstrip("/"), system, system, 8 if system.async_impl else 1)


def _google(decompress: bool, writes: bool) -> Any:
    system = _google_class()
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=10 * STALL_SECONDS, sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
    # gcsfs hands requests_timeout to every request; a timeout among session_kwargs would be overruled by its None
    return system(
        token=None if writes and not os.environ.get("STORAGE_EMULATOR_HOST") else "anon",
        requests_timeout=timeout,
        session_kwargs={"trust_env": True, "auto_decompress": decompress},
        use_listings_cache=False,
        consistency="md5" if writes else "none",
    )


@functools.cache
def _google_class() -> Any:
    """The class of gcsfs without two habits.

    What gcsfs offers first asks over another protocol (gRPC) what kind of bucket this is, again for every range
    where an anonymous caller may not know; `gcsfs.core` does not. And it repeats each request six times on its own
    account, without a line in the log: here the tries are ours.
    """
    logging.getLogger("gcsfs").setLevel(logging.WARNING)  # it greets at import
    try:
        gcsfs = import_extra("gcs", "gcsfs.core")
    except InvalidInput as error:
        raise InvalidInput(f"{error} Or give a folder that holds a copy of the bucket.") from error
    base = gcsfs.GCSFileSystem

    class Google(base):  # type: ignore[misc, valid-type]  # gcsfs is optional: its class is a value here
        _request = getattr(base._request, "__wrapped__", base._request)

    return Google


class Failed(Exception):
    """What went wrong in the end: the last error (`__cause__`), and after how many tries. Its text ends a line."""

    def __init__(self, tries: int) -> None:
        super().__init__(tries)
        self.tries = tries

    def __str__(self) -> str:
        times = "once" if self.tries == 1 else f"{self.tries} times"
        return f"failed {times}, at last with {error_line(self.__cause__)}"


def with_retries(step: Callable[[], T], what: str, stop: Event | None = None) -> T:
    """Do a step that can be repeated; do it again, after growing pauses, while it fails in a way that may pass.

    `what` names the step in the log. `stop`, set by another thread, ends the pauses and the tries. Raises
    FileNotFoundError, and Failed from any other error of the file system or the way to it. Errors of a programmer are
    raised as they are.
    """
    tries = 0

    def one_try() -> T:
        nonlocal tries
        tries += 1
        return step()

    try:
        return Retry(may_pass, error_line, TRIES)(one_try, what, stop)
    except FileNotFoundError:
        raise
    except Exception as error:
        if not _foreign(error):
            raise
        raise Failed(tries) from error


def may_pass(error: BaseException) -> bool:
    """Whether what failed so may succeed a moment later."""
    status = _status(error)
    if status is not None:
        return status in PASSING_STATUS
    return _foreign(error) and not isinstance(error, (*FINAL, ValueError)) and not str(error).startswith("Forbidden")


def _foreign(error: BaseException) -> bool:
    """Whether an error came from outside: the network's and a library's own ones, not those of a wrong call."""
    return isinstance(error, (OSError, EOFError, ValueError)) or type(error).__module__ != "builtins"


def _status(error: BaseException) -> int | None:
    """The HTTP status, where the library gives it: gcsfs as `code`, aiohttp as `status`."""
    for found in (getattr(error, "code", None), getattr(error, "status", None)):
        if str(found).isdigit():
            return int(str(found))
    return None


def error_line(error: BaseException | None) -> str:
    """One line of what the other side answered, without credentials."""
    text = scrubbed(" ".join(str(error).split()))[:300]
    return f"{type(error).__name__}: {text}".rstrip(": ")


def scrubbed(text: str) -> str:
    """A text without secrets, whose addresses show neither a name nor a query besides."""
    text = re.sub(r"://[^/\s@]*@", "://", without_secrets(text))
    return re.sub(r"(://[^\s?]*)\?[^\s'\"]*", r"\1", text)
