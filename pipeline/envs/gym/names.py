"""How a Gymnasium environment is named as a task."""

from __future__ import annotations

from pipeline.errors import InvalidInput
from pipeline.wording import slug

NO_ID = (
    "Which Gymnasium environment? domain.env_id=CartPole-v1, or one of yours: domain.env_id=MyEnv-v0 "
    "domain.entry_point=my_package.envs:MyEnv"
)


def task_of_id(env_id: str | None) -> str:
    """`cartpole-v1` for `CartPole-v1`, `ale-pong-v5` for `ALE/Pong-v5`, `myenv-v0` for `my_package:MyEnv-v0`.

    Raises InvalidInput without an id, and for one without a letter or digit.
    """
    if not env_id:
        raise InvalidInput(NO_ID)
    name = slug(env_id.rpartition(":")[2])
    if not name:
        raise InvalidInput(f"domain.env_id={env_id} has no letter or digit. {NO_ID}")
    return name
