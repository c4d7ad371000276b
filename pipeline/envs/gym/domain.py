"""The domain whose one environment the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.environment import Gym
from pipeline.envs.gym.names import NO_ID, task_of_id
from pipeline.errors import InvalidInput


def gym_domain(
    *,
    name: str,
    env_id: str | None,
    entry_point: str | None,
    packages: str | Sequence[str],
    env_kwargs: Mapping[str, Any] | None,
    display_name: str | None,
    max_steps: int | None,
    fresh: bool,
    mission: str | None,
    rounding: bool,
    episodes: int,
    regent: Regent,
) -> Domain:
    """What `conf/domain/gym.yaml` builds; the arguments are those of `Gym`, and the fields of `Domain`.

    The task is the slug of the id. Without an id, stages that need no task go on; all others ask for one.
    """
    given = {
        "env_id": env_id,
        "entry_point": entry_point,
        "packages": packages,
        "env_kwargs": env_kwargs,
        "max_steps": max_steps,
        "fresh": fresh,
        "rounding": rounding,
    }
    environment = partial(
        Gym,
        env_id=env_id,
        entry_point=entry_point,
        packages=packages,
        env_kwargs=env_kwargs,
        max_steps=max_steps,
        fresh=fresh,
        mission=mission,
        rounding=rounding,
    )
    return Domain(
        name=name,
        max_steps=max_steps,
        episodes=episodes,
        environment=environment,
        tasks=[task_of_id(env_id)] if env_id else _Unnamed(),
        spellings=["gym-{task}"],
        aliases={env_id: task_of_id(env_id)} if env_id else {},
        regent=regent,
        display_name=display_name,
        settings={key: value for key, value in given.items() if value},
    )


class _Unnamed(Sequence[str]):
    """The tasks of a domain without an id: asking for one is an error, which the configuration alone is not."""

    def __getitem__(self, _: Any) -> Any:
        raise InvalidInput(NO_ID)

    def __len__(self) -> int:
        raise InvalidInput(NO_ID)
