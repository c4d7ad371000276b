"""What a secret is, and texts without one. Nobody else decides it: what is typed, logged, written or told comes here.

Known are the values of the environment variables that are named like secrets, the token that `hf auth login` keeps, and
the passwords in the environment's addresses (a proxy's). The rest is known by its looks: the value of a secret's name
(`token=...`, `"api_key": "..."`, `--password ...`), a password in an address, the parameters that sign an address, the
headers that authorise, and tokens by how their makers begin them. A name alone is none, nor is a path that ends in one:
what follows `/data/passwd:` stays.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.errors import InvalidInput

MARK = "[secret]"
"""What stands in a secret's place."""

_NO_SECRETS = (
    "pad",
    "eos",
    "bos",
    "unk",
    "mask",
    "sep",
    "cls",
    "end",
    "start",
    "stop",
    "next",
    "first",
    "last",
    "image",
)
"""Tokens of a tokenizer."""

_NAME = (
    "(?:token" + "".join(rf"(?<!{word}[_-]token)" for word in _NO_SECRETS) + "|password|passwd|passphrase|secret"
    "|(?:api|access|secret|private|account|auth|wandb|signing|shared)[_-]?key(?:[_-]?id)?)"
)
"""How the name of a secret ends: `hub.token`, `AWS_SECRET_ACCESS_KEY`."""

_OPEN = r"(?!(?:null|none|true|false|anon)(?![\w-])|\$\{|\.\.\.|\[secret\])"
"""Before a value: it says something. A reference to another value (`${...}`) says nothing yet."""

_QUOTE = r"(?:b?(?P<quote>[\"']))?"
_VALUE = rf"{_OPEN}(?(quote)[^\"'\n]+|[^\s'\"&,;()\[\]{{}}<>]+)"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_ADDRESSES = (
    _pattern(
        r"(://)[^/\s@:\[\"'<>]*:(?!\d+(?:[/?#\s\"']|$))[^\s\"'<>]{0,1000}@"
    ),  # a password may hold / and @; no port does
    _pattern(r"(\bhttps?://)[^/\s@\"'<>?#]{1,1000}@"),  # the web knows no names without a password: that is a token
    _pattern(r"((?:^|(?<=[=\s]))[\w.%+-]{1,64}:)[^\s/@:=]+(?=@[\w-]+(?:\.[\w-]+)*(?:[:/\s]|$))"),  # without a protocol
)
"""What goes is all but the first group; a mark is left where a name stays."""

_SIGNATURE = _pattern(
    r"((?:[?&;]|%3F|%26)(?:sig|signature|policy|key-pair-id|awsaccesskeyid|googleaccessid|x-(?:amz|goog)-[\w-]+|key|code"
    rf"|[\w.-]{{0,40}}{_NAME})(?:=|%3D))[^\s&\"'#<>]+"
)

_NAMED = (
    _SIGNATURE,
    _pattern(rf"({_NAME}\s?=(?!=)\s?{_QUOTE}){_VALUE}"),
    _pattern(rf"(\(b?[\"'][\w.-]{{0,40}}{_NAME}[\"'],\s*{_QUOTE}){_VALUE}(?=[\"']\))"),
    _pattern(rf"((?<!\S)--?[\w.-]{{0,40}}{_NAME}\s+{_QUOTE})(?!-){_VALUE}"),
    _pattern(
        r"((?:authorization|cookie)['\"]?\s*[:=,]\s*(?:b?['\"])?(?:(?:basic|bearer|digest|token)\s+)?)[^\s'\",\[]+"
    ),
    _pattern(r"(\bbearer\s+)(?=\S*\d|\S{16})[\w.~+/=-]{8,}"),
)
_BEFORE_COLON = (
    _pattern(rf"({_NAME}[\"']\s*:\s*(?=b?[\"']|[^\s,]*\d){_QUOTE}){_VALUE}"),
    _pattern(rf"({_NAME}:\s*)(?=[^\s'\",;]*\d){_OPEN}[^\s'\",;(){{}}<>]{{8,}}"),
)
"""Names where the end of a path may stand, too: messages begin with the file that is wrong."""

_LONGEST_NAME = 200
_FOLDER = re.compile(r"/[\w.%+-]*\Z")
"""Before the name of a file, or the end of one."""

_HINT = re.compile("token|pass|secret|key|auth|cookie|bearer|sig|policy|access|x-|code")
"""What every one of these holds, in small letters; most lines of a log do not, and need no further look."""

_TYPED = (_pattern(rf"({{.*?{_NAME}\s*:\s*{_QUOTE}){_VALUE}"), _pattern(rf"(^[\w.-]*{_NAME}\s*:\s*{_QUOTE}){_VALUE}"))
"""What is no secret in running text (`no token: expired`), but is one in a word of a command."""

_MADE = re.compile(
    r"\bhf_(?:[A-Za-z0-9]{20,}|(?=[A-Za-z]*[A-Z0-9])[A-Za-z0-9]{8,})|\bapi_org_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{35}|\bya29\.[\w-]{10,}|\bGOCSPX-[\w-]{10,}"  # Amazon, Google
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[\w-]{10,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)

_SECRET_NAME = _pattern(rf"[\w+./-]*{_NAME}")
_ASKED = re.compile(r"(?:HF|HUGGING_?FACE|AWS|GOOGLE|GCS|AZURE|FSSPEC|S3)_", re.IGNORECASE)
"""Variables that the libraries below this program read: what they hold is a secret however short it is."""

_PROXY = re.compile(r"://[^/\s@:\[]*:(?!\d+(?:[/?#\s]|$))([^\s@]+)@")


def without_secrets(text: str) -> str:
    """The same text with a mark in the place of each secret; of an address, name and password go."""
    for value in _known():
        text = text.replace(value, MARK)
    if "@" in text:
        for pattern in _ADDRESSES:
            text = pattern.sub(_address, text)
    if _HINT.search(text.lower()):
        text = _without(_NAMED, text)
        for pattern in _BEFORE_COLON:
            text = pattern.sub(_value, text)
    return _MADE.sub(MARK, text)


def _without(patterns: Iterable[re.Pattern[str]], text: str) -> str:
    for pattern in patterns:
        text = pattern.sub(rf"\g<1>{MARK}", text)
    return text


def _value(found: re.Match[str]) -> str:
    """The name and a mark; of a path, what it was."""
    start = found.start()
    is_path = _FOLDER.search(found.string, max(0, start - _LONGEST_NAME), start)
    return found[0] if is_path else found[1] + MARK


def _address(found: re.Match[str]) -> str:
    """What stays of an address with a password: what comes before it, and a mark where that is no protocol."""
    return found[1] if found[1].endswith("//") else found[1] + MARK


def words_without_secrets(words: Sequence[str]) -> list[str]:
    """The words of a command, each without secrets; also what follows a secret's name (`--token`, `token =`)."""
    shown: list[str] = []
    follows = False
    for word in words:
        name, equals, value = word.partition("=")
        if follows and word not in ("=", ":") and not word.startswith("-"):
            shown.append(f"={MARK}" if not name and equals else MARK)
            follows = False
        elif equals and is_secret_name(name) and re.match(_OPEN + ".", value, re.IGNORECASE):
            shown.append(f"{name}={MARK}")
        else:
            shown.append(_without(_TYPED, without_secrets(word)))
        is_name = not value and "/" not in word and is_secret_name(word.rstrip(":= "))
        follows = (follows and word in ("=", ":")) or is_name
    return shown


def is_secret_name(name: str) -> bool:
    """Whether a setting or an option of this name holds a secret: `hub.token`, `--api-key`."""
    return not name.startswith("~") and _SECRET_NAME.fullmatch(name.strip()) is not None


def values_without_secrets(value: Any, name: str = "") -> Any:
    """The same JSON value, mappings and lists all through, without the values of secret names and without secrets."""
    if isinstance(value, Mapping):
        return {key: values_without_secrets(each, str(key)) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [values_without_secrets(each, name) for each in value]
    if not isinstance(value, str):
        return value
    is_named = "/" not in name and is_secret_name(name)
    return MARK if value and is_named and re.match(_OPEN, value, re.IGNORECASE) else without_secrets(value)


def holds_password(address: str) -> bool:
    """Whether an address holds a password, or what serves as one."""
    return any(pattern.search(address) for pattern in (*_ADDRESSES, _SIGNATURE))


def refuse_password(address: str | None, setting: str) -> None:
    """Raises InvalidInput for an address with a password in it, before anything is sent there; says where it goes."""
    if address is not None and holds_password(str(address)):
        raise InvalidInput(
            f"{setting} must not hold a password or a signature: addresses are written down. {HAND_OVER}"
        )


HAND_OVER = (
    "Hand them over in fsspec's variables (FSSPEC_FTP_USERNAME, FSSPEC_FTP_PASSWORD; other protocols alike), or as the "
    "cloud's own tools keep them; the hub's token by hf auth login, or in HF_TOKEN."
)


def _known() -> list[str]:
    """The values that are known to be secret, longest first: a short one may be part of a long one."""
    found = {value for value in (*_of_environment(tuple(os.environ.items())), _kept_token()) if value}
    return sorted({*found, *(quote(value, safe="") for value in found)}, key=len, reverse=True)


@lru_cache(1)
def _of_environment(variables: tuple[tuple[str, str], ...]) -> list[str]:
    found: list[str] = []
    for name, value in variables:
        if "://" in value:
            found += (each for each in _PROXY.findall(value) if len(each) >= 4)
        if name.upper().startswith("FSSPEC_") and value.startswith("{"):
            found += re.findall(rf"(?i)\"[\w-]*{_NAME}\"\s*:\s*\"([^\"]{{6,}})\"", value)
        elif _SECRET_NAME.fullmatch(name) and _is_secret(value, 6 if _ASKED.match(name) else 12):
            found.append(value)
    return found


def _is_secret(value: str, least: int) -> bool:
    """Whether a variable's value can be told from a common word or a path."""
    return len(value) >= least and (least < 12 or any(map(str.isdigit, value))) and not value.startswith(("/", "~"))


def _kept_token() -> str:
    """The token that `hf auth login` has written, where there is one."""
    hub = sys.modules.get("huggingface_hub.constants")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    path = Path(getattr(hub, "HF_TOKEN_PATH", None) or os.environ.get("HF_TOKEN_PATH") or Path(home, "token"))
    try:
        return path.expanduser().read_text().strip()
    except (OSError, RuntimeError, ValueError):  # none, unreadable, no home, no text
        return ""
