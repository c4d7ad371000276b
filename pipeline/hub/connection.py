"""How a hub is reached: settings, which of its failures are tried again, errors that say what to do.

The token is neither a setting nor an attribute: the hub's client finds it (HF_TOKEN, `hf auth login`) when it asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipeline.errors import HubError, InvalidInput, Unreachable
from pipeline.machine.secrets import refuse_password, without_secrets
from pipeline.remote.retry import Retry

MAIN = "main"
PASSING_STATUS = (408, 409, 412, 429, 500, 502, 503, 504)
"""Answers that may differ a moment later: busy, broken, or another commit came between (409, 412)."""

TRANSPORT: type[Exception] = [
    each for each in HfHubHTTPError.__mro__ if each.__module__.split(".")[0] not in ("builtins", "huggingface_hub")
][-1]
"""The HTTP library's own error; which library that is depends on the client's version."""

FAILURES = (TRANSPORT, OfflineModeIsEnabled, LocalEntryNotFoundError, RuntimeError, json.JSONDecodeError)
"""What the client raises when something is wrong with the hub, the way to it, or the token."""

T = TypeVar("T")


@dataclass(frozen=True)
class Hub:
    """What the config group `hub` sets.

    Attributes:
        repo_id: OWNER/NAME of a dataset repository.
        revision: a branch; to fetch also a tag or commit. None: main.
        endpoint: address of the hub. None: HF_ENDPOINT, or huggingface.co.
        private: whether a repository that publishing creates is private.
        dry_run: show what would be uploaded, and upload nothing.
        retries: how often a step is tried again after the hub failed for a moment.
    """

    repo_id: str | None = None
    revision: str | None = None
    endpoint: str | None = None
    private: bool = True
    dry_run: bool = False
    retries: int = 5

    def __post_init__(self) -> None:
        for setting in ("repo_id", "revision", "endpoint"):
            refuse_password(getattr(self, setting), f"hub.{setting}")
        if self.repo_id is not None and not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.repo_id):
            raise InvalidInput(f"hub.repo_id={self.repo_id} must be OWNER/NAME of a dataset repository.")
        if self.retries < 0:
            raise InvalidInput(f"hub.retries={self.retries} must be at least 0.")

    @property
    def repo(self) -> str:
        """The repository's id. Raises InvalidInput where none was set."""
        if self.repo_id is None:
            raise InvalidInput("Say which dataset repository: hub.repo_id=OWNER/NAME")
        return self.repo_id

    @property
    def branch(self) -> str:
        return self.revision or MAIN

    @property
    def address(self) -> str:
        """Where the hub is. Raises InvalidInput for an address with a name or password in it, HF_ENDPOINT's, too."""
        address = (self.endpoint or constants.ENDPOINT).rstrip("/")
        if "@" in urlsplit(address).netloc:
            raise InvalidInput("The hub's address (hub.endpoint, HF_ENDPOINT) must not hold a name or password.")
        return address

    def api(self) -> HfApi:
        """The hub's client."""
        return HfApi(endpoint=self.address, library_name="repertoire")

    def with_retries(self, step: Callable[[], T]) -> T:
        """Do a step that can be repeated; again, after growing pauses, while it fails in a way that may pass.

        The client itself repeats single uploads and listings; this is for everything else. A dry run waits for no
        network: it loses nothing.
        """
        passes = _is_busy if self.dry_run else hub_may_recover
        return Retry(passes, _describe, self.retries + 1, _asked_pause)(step, "the hub")


def hub_may_recover(error: BaseException) -> bool:
    """Whether a step that failed so may succeed a moment later."""
    return _is_busy(error) or (isinstance(found := _cause(error), TRANSPORT) and not isinstance(found, HfHubHTTPError))


def _is_busy(error: BaseException) -> bool:
    """Whether the hub was reached, and gave an answer that may differ a moment later."""
    found = _cause(error)
    if isinstance(found, HfHubHTTPError):
        return found.response.status_code in PASSING_STATUS
    return isinstance(found, json.JSONDecodeError)  # an error page where JSON was expected


@contextmanager
def plain_errors(hub: Hub, doing: str) -> Iterator[None]:
    """Turn the client's errors into HubError: what was tried, what came back, what to do. Never with the token."""
    try:
        yield
    except FAILURES as error:
        cause = _cause(error)
        if isinstance(cause, RuntimeError):  # not an error of the hub: its traceback shows its origin
            raise
        message = _message(cause, hub, doing)
        # from None: the client's own traceback goes into no file, whatever is in it
        kind = HubError if isinstance(cause, HfHubHTTPError) and not hub_may_recover(cause) else Unreachable
        raise kind(without_secrets(message)) from None


def require_token(hub: Hub) -> None:
    """Raises HubError where nobody is logged in."""
    if get_token() is None:
        raise HubError(f"{_log_in(hub)} hub.dry_run=true needs no token.")


def _message(error: BaseException, hub: Hub, doing: str) -> str:
    what = f"{doing} {hub.repo} at {hub.address}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{what}: HF_HUB_OFFLINE forbids it. Unset it and run the same command again."
    if isinstance(error, RevisionNotFoundError):
        return f"{what}: it has no branch, tag or commit {hub.branch}. Check hub.revision."
    if not isinstance(error, HfHubHTTPError):
        return (
            f"{what}: the hub cannot be reached ({_describe(error)}). Check the network and HF_ENDPOINT, and run the "
            f"same command again: {_kept(hub)}."
        )
    status, answer = error.response.status_code, _describe(error)
    if status == 403:
        return (
            f"{what}: the hub forbids it ({answer}). The token must have the role write for {hub.repo.split('/')[0]}: "
            f"log in with another one (hf auth login, or HF_TOKEN)."
        )
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        if get_token() is None:
            return f"{what}: no such dataset repository is public. {_log_in(hub)}"
        if status == 401 and not isinstance(error, RepositoryNotFoundError):
            return (
                f"{what}: the hub does not accept the token ({answer}). Make a new one at "
                f"{hub.address}/settings/tokens and log in with hf auth login. HF_TOKEN, where it is set, counts first."
            )
        return f"{what}: there is no such dataset repository, or the token may not see it. Check hub.repo_id."
    if status in PASSING_STATUS:
        return (
            f"{what}: the hub failed {hub.retries + 1} times ({answer}). Run the same command again later: "
            f"{_kept(hub)}."
        )
    return f"{what}: {answer}"


def _kept(hub: Hub) -> str:
    return "a dry run uploads nothing" if hub.dry_run else "what is complete is kept"


def _log_in(hub: Hub) -> str:
    return (
        f"There is no token for {hub.address}: make one at {hub.address}/settings/tokens (role write to publish), then "
        f"run hf auth login, or set HF_TOKEN."
    )


def _describe(error: BaseException) -> str:
    """What the hub answered, in one line."""
    found = _cause(error)
    if isinstance(found, HfHubHTTPError):
        lines = (found.server_message or found.response.reason_phrase).splitlines()
        return without_secrets(f"{found.response.status_code}: {'; '.join(lines)}")
    return without_secrets(f"{type(found).__name__}: {found}".strip().rstrip(":"))


def _cause(error: BaseException) -> BaseException:
    """The hub's or the network's own error inside what the client wrapped around it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, (TRANSPORT, OfflineModeIsEnabled, json.JSONDecodeError)):
            return inner
        inner = inner.__cause__
    return error


def _asked_pause(error: BaseException) -> float | None:
    """Seconds that the hub asks to be left alone."""
    found = _cause(error)
    asked = found.response.headers.get("Retry-After", "") if isinstance(found, HfHubHTTPError) else ""
    return float(asked) if asked.isdigit() else None
