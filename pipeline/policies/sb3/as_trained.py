"""The settings of a command under which an Atari agent sees what it was trained on."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.command import override
from pipeline.errors import InvalidInput
from pipeline.policies.normalize import statistics_beside
from pipeline.policies.sb3.zoo import CONFIG, NONE, Training, read_training, settings_beside

log = logging.getLogger(__name__)

FIRE = "domain.environment.fire_reset"
"""A setting of Atari's environment alone."""

WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"

OPTIONS: Mapping[str, Any] = {
    "noop_max": 30,
    "frame_skip": 4,
    "screen_size": 84,
    "terminal_on_life_loss": True,
    "clip_reward": True,
    "action_repeat_probability": 0.0,
}
"""The wrapper's options and their defaults."""

WRAPPED = "domain.environment.sticky=0 domain.environment.noops=30 domain.environment.fire_reset=true"
"""The settings that stand for that wrapper here, as a user types them."""

LARGEST_OPTION = 10_000
"""Frames that a wrapper waits or skips, or pixels that it shows; a file that names more is damaged."""

_ID = re.compile(r"(?:ALE/)?\w+?(NoFrameskip|Deterministic)?-v(\d)")


def as_trained(
    agent: str | Path, settings: str | Path | bool, now: Mapping[str, Any], given: Collection[str]
) -> dict[str, Any]:
    """The settings, by key, that must change so that an agent's environment is the one that it was trained in.

    The log says what was taken over, and what could not be. Empty for another domain than Atari.

    Args:
        agent: its zip.
        settings: `auto` (RL Zoo's files that lie beside the zip), false, or a `config.yml`.
        now: all settings below `domain.environment` and `policy`, by key.
        given: the keys among them that somebody set; these stay.

    Raises InvalidInput for a file that was named and is not there, or is none of RL Zoo's; and where it is not clear
    which of several files belongs to the agent.
    """
    if FIRE not in now or settings in (False, None):
        return {}
    file = _file(Path(agent), settings)
    if file is None:
        if not any(key.startswith("domain.environment.") for key in given):
            log.warning(
                "%s has no %s beside it, so nothing says in which environment it was trained. What Stable-Baselines3's "
                "Atari wrapper does is: %s. To play without that, and without this warning: policy.settings=false",
                agent, CONFIG, WRAPPED,
            )  # fmt: skip
        return {}
    training = read_training(file)
    wanted = dict(_wanted(training))
    if not training.normalizes and now.get("policy.normalize") == "auto" and _has_statistics(Path(agent)):
        wanted["policy.normalize"] = False
    changed = {key: value for key, value in wanted.items() if now.get(key) != value}
    taken = {key: value for key, value in changed.items() if key not in given}
    kept = {key: value for key, value in changed.items() if key in given}
    log.info("%s says how %s was trained; taken over: %s", file, Path(agent).name, _words(taken) or "nothing new")
    if kept:
        log.info("kept as it was given, though it was trained with: %s", _words(kept))
    for line in _remarks(training, Path(agent), now):
        log.warning("%s: %s", file, line)
    return taken


def _file(agent: Path, settings: str | Path | bool) -> Path | None:
    if settings in ("auto", True):
        folder = settings_beside(agent)
        return None if folder is None else folder / CONFIG
    file = Path(str(settings)).expanduser()
    if not file.is_file():
        raise InvalidInput(f"There are no settings {file}: policy.settings=FILE.yml, auto, or false for none.")
    return file


def _words(settings: Mapping[str, Any]) -> str:
    return " ".join(override(key, value) for key, value in settings.items())


def _has_statistics(agent: Path) -> bool:
    try:
        return statistics_beside(agent) is not None
    except InvalidInput:  # several: whichever they are, none belongs to this agent
        return True


def _wanted(training: Training) -> Iterator[tuple[str, Any]]:
    """The settings that the files name."""
    if WRAPPER in training.wrappers:
        options = _options(training)
        skip = int(options["frame_skip"]) * _console_skip(training)
        yield "domain.environment.noops", options["noop_max"]
        yield "domain.environment.frame_skip", skip
        yield "domain.environment.max_pool", skip > 1
        yield FIRE, True if options["terminal_on_life_loss"] else "start"
        yield "domain.environment.sticky", max(_console_sticky(training), float(options["action_repeat_probability"]))
    if isinstance(full := training.env_kwargs.get("full_action_space"), bool):
        yield "domain.environment.full_actions", full
    if training.frame_stack is not None:
        yield "policy.stack", training.frame_stack


def _options(training: Training) -> Mapping[str, Any]:
    given = training.wrappers[WRAPPER]
    for name, value in given.items():
        known = OPTIONS.get(name)
        if known is not None and not _alike(known, value):
            raise InvalidInput(f"{training.file}: AtariWrapper's {name} is not such as {known}. {NONE}")
    return {**OPTIONS, **given}


def _alike(known: Any, value: Any) -> bool:
    """Whether a value can stand where the known one does: a truth, a count or a chance."""
    if isinstance(known, bool) or isinstance(value, bool):
        return isinstance(known, bool) and isinstance(value, bool)
    if isinstance(known, int):
        return isinstance(value, int) and 0 <= value <= LARGEST_OPTION
    return isinstance(value, int | float) and 0 <= value <= 1


def _console_skip(training: Training) -> int:
    """Frames that the environment below the wrapper skips; 1 by default, as the wrapper asks for."""
    option = training.env_kwargs.get("frameskip")
    if isinstance(option, int) and not isinstance(option, bool) and 0 < option < 100:
        return option
    found = _ID.fullmatch(training.env_id)
    return 4 if found and not found[1] and found[2] == "5" else 1


def _console_sticky(training: Training) -> float:
    """The chance of a sticky action below the wrapper: by default that of the id's version."""
    option = training.env_kwargs.get("repeat_action_probability")
    if isinstance(option, int | float) and not isinstance(option, bool) and 0 <= option <= 1:
        return float(option)
    found = _ID.fullmatch(training.env_id)
    return 0.25 if found and found[2] in "05" else 0.0


def _remarks(training: Training, agent: Path, now: Mapping[str, Any]) -> Iterator[str]:
    """What the files name and cannot be had here."""
    for name in training.wrappers:
        if name != WRAPPER:
            yield f"the wrapper {name} is not known here, and was left out."
    if not training.wrappers:
        yield f"no wrapper is named. What Stable-Baselines3's Atari wrapper does is: {WRAPPED}"
    elif WRAPPER in training.wrappers:
        options, skip = _options(training), _console_skip(training)
        found = _ID.fullmatch(training.env_id)
        if options["screen_size"] != OPTIONS["screen_size"]:
            yield f"screens of {options['screen_size']} pixels were seen; here they have {OPTIONS['screen_size']}."
        if skip > 1:
            yield (
                f"{training.env_id or 'the environment'} skips {skip} frames below the wrapper. Here a decision holds "
                f"{skip} times as many frames, too, but no-ops are single frames, and the two last screens are shown."
            )
        elif found and found[1] != "NoFrameskip" and found[2] != "5" and "frameskip" not in training.env_kwargs:
            yield f"{training.env_id} skips a number of frames of its own, which cannot be had here."
    if training.normalizes and now.get("policy.normalize") == "auto" and not _has_statistics(agent):
        yield "observations were scaled, but no vecnormalize.pkl lies beside the agent: policy.normalize=FILE.pkl"
