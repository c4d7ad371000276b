"""The domain of DeepMind's control suite, or of one dm_env environment that the user names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.domains.domain import Domain, Regent
from pipeline.envs.dm.environment import DeepMind
from pipeline.errors import InvalidInput, UnknownName
from pipeline.wording import slug

MISSPELT = 0.6
"""From this likeness on (`difflib`), a name is taken for a misspelt task of the suite."""


def dm_domain(
    *,
    name: str,
    entry_point: str | None,
    env_kwargs: Mapping[str, Any] | None,
    seed_argument: str | bool | None,
    asked: str | Sequence[str] | None,
    display_name: str | None,
    max_steps: int | None,
    camera: int | str,
    height: int,
    width: int,
    episodes: int,
    tasks: Sequence[str],
    spellings: Sequence[str],
    aliases: Mapping[str, str],
    regent: Regent,
) -> Domain:
    """What `conf/domain/dmc.yaml` builds; the arguments are those of `DeepMind`, and the fields of `Domain`.

    With an entry point, `tasks` and `aliases` are put aside. Its task is called as asked for, or else by the slug of
    its name: `catch` for `my_envs:Catch`. Without one, a name that is asked for and is like none of the suite's is a
    task, too: another environment's, which no simulator here plays, but whose episodes may be brought in or recorded.
    """
    given = {
        "entry_point": entry_point,
        "env_kwargs": env_kwargs or None,
        "seed_argument": seed_argument,
        "max_steps": max_steps,
    }
    environment = partial(
        DeepMind,
        max_steps=max_steps,
        entry_point=entry_point,
        env_kwargs=env_kwargs,
        seed_argument=seed_argument,
        camera=camera,
        height=height,
        width=width,
    )
    domain = Domain(
        name=name,
        max_steps=max_steps,
        episodes=episodes,
        environment=environment,
        tasks=tasks if entry_point is None else _names(asked, entry_point),
        spellings=spellings,
        aliases=aliases if entry_point is None else {},
        regent=regent,
        display_name=display_name,
        settings={key: value for key, value in given.items() if value is not None},
    )
    return domain if entry_point else replace(domain, tasks=[*tasks, *_others(domain, asked)])


def _names(asked: str | Sequence[str] | None, entry_point: str) -> list[str]:
    """What the task of an entry point is called."""
    return [_task_name(name) for name in _asked(asked)] or [_task_name(entry_point.rpartition(":")[2])]


def _asked(asked: str | Sequence[str] | None) -> list[str]:
    """The names of the tasks that are asked for; none for all."""
    if asked is None or asked == "all":
        return []
    return [asked] if isinstance(asked, str) else list(asked)


def _others(domain: Domain, asked: str | Sequence[str] | None) -> list[str]:
    """The names that are asked for and are like no task of the suite."""
    return [name for each in _asked(asked) if _is_other(domain, each) and (name := slug(each))]


def _is_other(domain: Domain, name: str) -> bool:
    try:
        domain.task(name)
    except UnknownName:
        return not difflib.get_close_matches(name, domain.tasks, cutoff=MISSPELT)
    return False


def _task_name(name: str) -> str:
    if not slug(name):
        raise InvalidInput(f"The name {name!r} has no letter or digit; name the task: task=NAME")
    return slug(name)
