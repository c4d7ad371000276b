"""What an artifact was asked to be, together with what its parents were asked to be: how one is found among several."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.errors import InvalidInput, UnknownName, unknown_name
from pipeline.fingerprint import canonical

Parents = Callable[[Artifact], Iterable[Artifact]]
"""The parents of an artifact that are there."""

WithSettings = tuple[Artifact, Mapping[str, Sequence[Any]]]
"""An artifact and its settings."""

LISTED = 8
"""So many artifacts a message lists."""

SHORT = 60
"""So many characters has a value at most that a message shows where others tell the artifacts apart, too."""

MADE_FROM = "made_from"
"""Below it a source says what another dataset was: nothing that this one is found by."""


def settings_of(artifact: Artifact, parents: Parents) -> dict[str, list[Any]]:
    """All values of each setting, by dotted name (`policy.name`, `metric`): its own, else those of its parents.

    `dataset` and `episodes` are the name and number of the episodes that it is of, `version` is its own.
    """
    found: dict[str, list[Any]] = {"version": [artifact.manifest.version]}
    for entry in artifact.manifest.parents:
        if entry["kind"] == EPISODES:
            _add(found, "dataset", entry["version"])
            _add(found, EPISODES, entry["episodes"])
    if artifact.manifest.kind == EPISODES:
        _add(found, "dataset", artifact.manifest.version)
        _add(found, EPISODES, artifact.manifest.counts["episodes"])
    for name, value in _leaves(artifact.manifest.parameters):
        _add(found, name, value)
    own = {"version", "dataset", EPISODES, *_own(artifact)}
    for parent in parents(artifact):
        inherited = settings_of(parent, parents)
        for name in sorted(inherited.keys() - own):
            for value in inherited[name]:
                _add(found, name, value)
    return found


def one_matching(artifacts: Sequence[Artifact], asked: Mapping[str, Any], parents: Parents) -> Artifact:
    """The one of some artifacts, of one kind and task, whose settings are as asked.

    Of those that differ in nothing but their format number, the newest counts: the others are of an earlier program.
    Raises UnknownName where none is, InvalidInput where several are; both list them with the settings that differ.
    """
    described = [(artifact, settings_of(artifact, parents)) for artifact in artifacts]
    matching = _newest([(artifact, known) for artifact, known in described if _matches(artifact, known, asked)])
    if len(matching) == 1:
        return matching[0][0]
    manifest = artifacts[0].manifest
    made = f"made with {', '.join(f'{name}={_text(value)}' for name, value in asked.items())}" if asked else "there"
    if matching:
        raise InvalidInput(
            f"{len(matching)} {manifest.kind} of {manifest.task} are {made}; say which:\n{_table(matching, asked)}"
        )
    unknown = [name for name in asked if not any(_named(known, name) for _, known in described)]
    if unknown:
        raise unknown_name(
            f"setting of {manifest.kind} of {manifest.task}",
            unknown[0],
            {name for _, known in described for name in known if not _of_another(name)},
            f"There are:\n{_table(described, asked)}",
        )
    raise UnknownName(f"No {manifest.kind} of {manifest.task} is {made}. There are:\n{_table(described, asked)}")


def _newest(described: Sequence[WithSettings]) -> list[WithSettings]:
    """Without those that were made again, with the same settings, in a newer format."""

    def settings(known: Mapping[str, Sequence[Any]]) -> str:
        return canonical({name: list(values) for name, values in known.items() if name != "version"})

    newest: dict[str, int] = {}
    for artifact, known in described:
        newest[settings(known)] = max(newest.get(settings(known), 0), artifact.manifest.format)
    return [(artifact, known) for artifact, known in described if artifact.manifest.format == newest[settings(known)]]


def _matches(artifact: Artifact, known: Mapping[str, Sequence[Any]], asked: Mapping[str, Any]) -> bool:
    """Whether the settings are as asked: the artifact's own, and its parents' where it has none of that name."""
    own = ["version", "dataset", EPISODES, *_own(artifact)]
    return all(
        any(value in known.get(name, ()) for name in _named(own, key) or _named(known, key))
        for key, value in asked.items()
    )


def _own(artifact: Artifact) -> list[str]:
    return [name for name, _ in _leaves(artifact.manifest.parameters)]


def _of_another(name: str) -> bool:
    return MADE_FROM in name.split(".")


def _named(known: Iterable[str], key: str) -> list[str]:
    """The settings that a key can mean: `metric` is `metric` and `retrieval.metric`."""
    return [name for name in known if (name == key or name.endswith(f".{key}")) and not _of_another(name)]


def _table(described: Sequence[WithSettings], asked: Iterable[str]) -> str:
    """One line for each artifact: the settings in which they differ, and those that were asked for.

    Of those that differ the short ones of the artifacts themselves; all, where these are alike for some.
    """
    names = dict.fromkeys(name for _, known in described for name in known if name != "version")
    own = {name for artifact, _ in described for name in _own(artifact)}
    first = [name for key in asked for name in _named(own, key) or _named(names, key)]
    differing = [name for name in names if len({json.dumps(known.get(name)) for _, known in described}) > 1]
    short = [name for name in differing if all(len(_text(known.get(name))) <= SHORT for _, known in described)]
    short = [name for name in short if name in own and not _of_another(name)]
    apart = {json.dumps([known.get(name) for name in short]) for _, known in described}
    shown = dict.fromkeys([*first, *(short if len(apart) == len(described) else differing)])
    lines = []
    for artifact, known in described[:LISTED]:
        listed = ", ".join(f"{name}={_text(*known[name][:1])}" for name in shown if name in known)
        lines.append(f"  version={artifact.manifest.version}{f' ({listed})' if listed else ''}")
    if len(described) > LISTED:
        lines.append(f"  and {len(described) - LISTED} more")
    return "\n".join(lines)


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _add(found: dict[str, list[Any]], name: str, value: Any) -> None:
    values = found.setdefault(name, [])
    if value not in values:
        values.append(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=repr)
