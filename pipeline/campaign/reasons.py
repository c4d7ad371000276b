"""Why a stage found an artifact or made it: one line, from what its manifest and its neighbours' say was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.artifacts.artifact import EPISODES, Artifact, Manifest
from pipeline.artifacts.store import artifacts_below
from pipeline.fingerprint import as_text, differing_leaves, fingerprint
from pipeline.wording import few

SHOWN_DIGITS = 8
"""Of a digest."""

SHOWN = 4
"""So many differences a reason names."""

LONG = 32
"""A value of more characters is shown by a hash of it."""


def why_made(artifact: Artifact) -> str:
    """`found: same configuration, inputs 3f2a91c0, code 1`, `again: retrieval.demos 20 -> 100`, or what else is so.

    An artifact that was made is compared with the one of its kind and task that differs least from it.
    """
    if artifact.reason:
        return artifact.reason
    if not artifact.built:
        return f"found: {', '.join(_found(artifact))}"
    kind = artifact.manifest.kind
    if kind == EPISODES:
        return "new: no dataset of this name was there"
    others = [each for each in artifacts_below(artifact.path.parent, []) if each.path != artifact.path]
    if not others:
        return f"new: nothing of the kind {kind} was there"
    return f"again: {few(min((_differences(each, artifact) for each in others), key=len), SHOWN)}"


def _found(artifact: Artifact) -> Iterator[str]:
    manifest = artifact.manifest
    yield "same configuration"
    if inputs := _inputs(manifest):
        yield f"inputs {inputs[:SHOWN_DIGITS]}"
    yield f"code {manifest.format}"
    have = manifest.counts.get("episodes")
    if manifest.kind == EPISODES and artifact.episodes and have and artifact.episodes < have:
        yield f"the first {artifact.episodes} of {have} episodes"


def _inputs(manifest: Manifest) -> str:
    """Stands for what it was made from: the digest of one parent, a hash of several, or of what its source is."""
    digests = [str(parent["digest"]) for parent in manifest.parents]
    if not digests and "source" in manifest.parameters:
        return fingerprint(manifest.parameters["source"])
    return digests[0] if len(digests) == 1 else fingerprint({"of": digests}) if digests else ""


def _differences(before: Artifact, now: Artifact) -> list[str]:
    """What was asked for otherwise, each as `name before -> now`."""
    old, new = before.manifest, now.manifest
    found = [_change(name, *values) for name, *values in differing_leaves(old.parameters, new.parameters, new.kind)]
    kinds = dict.fromkeys(parent["kind"] for parent in [*old.parents, *new.parents])
    for kind in kinds:
        found += _of_parents(kind, *([each for each in of.parents if each["kind"] == kind] for of in (old, new)))
    if old.format != new.format:
        found.append(_change("code", old.format, new.format))
    return found or [f"in another storage than {before.path.name}"]


def _of_parents(kind: str, old: Sequence[Any], new: Sequence[Any]) -> list[str]:
    """What differs in the inputs of one kind."""
    if len(old) != len(new):
        return [_change(f"inputs of the kind {kind}", len(old), len(new))]
    found = []
    for before, now in zip(old, new, strict=True):
        name = f"{kind} {now['version']}"
        if before["version"] != now["version"]:
            found.append(_change(kind, before["version"], now["version"]))
        elif before["episodes"] != now["episodes"]:
            found.append(_change(name, before["episodes"], now["episodes"]))
        elif before["digest"] != now["digest"]:
            found.append(_change(name, before["digest"][:SHOWN_DIGITS], now["digest"][:SHOWN_DIGITS]))
    return found


def _change(name: str, before: Any, now: Any) -> str:
    return f"{name} {_short(before)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= LONG else f"#{fingerprint({'of': value})[:SHOWN_DIGITS]}"
