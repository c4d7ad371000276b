"""Texts for a page that others will see: without the folders of the machine on which it was made."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pipeline.machine.secrets import words_without_secrets

ABSOLUTE = re.compile(r"(?<![\w/:.…~-])~?/(?:[^\s'\"/,;()\[\]]+/)+([^\s'\"/,;()\[\]]*)")
"""A path of at least two folders from the root or home on; no part of a URL or of a relative path."""
COMMAND = re.compile(r"python \S*run\.py .*$", re.MULTILINE)
PLAIN = re.compile(r"[\w@%+=:,./…-]+")


def without_folders(text: str) -> str:
    """Absolute paths shortened to their last name; the project's, the home's and all others.

    >>> without_folders("no weights at /home/me/nets/resnet.pt: see https://example.org/a/b")
    'no weights at …/resnet.pt: see https://example.org/a/b'
    """
    for folder in sorted({str(Path.cwd()), str(Path.home())}, key=len, reverse=True):
        if len(folder) > 1:  # spaces in it would hide it from the pattern
            text = re.sub(rf"(?<![\w/]){re.escape(folder)}(?![\w-])", "/…/…", text)
    return ABSOLUTE.sub(lambda found: f"…/{found[1]}".rstrip("/"), text)


def for_others(text: str) -> str:
    """A message whose commands can be pasted on any machine, and which names no folder of this one.

    >>> for_others("/home/me/nets/a.pt is gone. Check: python /home/me/code/run.py stage=verify paths.root=/mnt/data")
    '…/a.pt is gone. Check: python run.py stage=verify paths.root="${PATHS_ROOT:?}"'
    """
    return without_folders(COMMAND.sub(lambda found: _portable_or_as_it_is(found[0]), text))


def _portable_or_as_it_is(command: str) -> str:
    try:
        return portable_command(command)
    except ValueError:  # no command of a shell
        return command


def portable_command(command: str) -> str:
    """A command to paste on any machine: each value with an absolute path becomes a variable that the shell asks for.

    So it can run in no wrong folder: bash says `PATHS_ROOT: parameter null or not set`.

    >>> portable_command("python run.py stage=report 'paths.root=/mnt/my data/out'")
    'python run.py stage=report paths.root="${PATHS_ROOT:?}"'
    """
    return " ".join(map(_portable, shlex.split(command)))


def variables_of(command: str) -> dict[str, str]:
    """The variables of a portable command, and the setting that each holds.

    >>> variables_of('python run.py paths.root="${PATHS_ROOT:?}"')
    {'PATHS_ROOT': 'paths.root'}
    """
    return {name: key for key, name in re.findall(r'([\w.]+)="\$\{(\w+):\?\}"', command)}


def short_command(command: str) -> str:
    """A command as it was typed, its absolute paths shortened; quoted where a shell needs it.

    >>> short_command("python run.py stage=report 'paths.root=/mnt/my data/out'")
    'python run.py stage=report paths.root=…/out'
    """
    try:
        words = shlex.split(command)
    except ValueError:  # no command of a shell
        return without_folders(command)
    return " ".join(_quoted(_short(word)) for word in words_without_secrets(words))


def _short(word: str) -> str:
    key, equals, value = word.rpartition("=")
    if value.startswith(("/", "~/")):
        return f"{key}{equals}…/{Path(value).name}"
    return without_folders(word)


def _portable(word: str) -> str:
    key, equals, value = word.partition("=")
    if without_folders(value) == value and not value.startswith(("/", "~/")):
        return _quoted(word if equals else without_folders(word).removeprefix("…/"))
    return f'{key}="${{{re.sub(r"[^A-Z]", "_", key.lstrip("+").upper())}:?}}"'


def _quoted(word: str) -> str:
    return word if PLAIN.fullmatch(word) else "'" + word.replace("'", "'\"'\"'") + "'"
