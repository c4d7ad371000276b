"""Pictures of a Gymnasium environment, and words for why there are none."""

from __future__ import annotations

import numpy as np
from gymnasium.error import DependencyNotInstalled
from jaxtyping import UInt8

from pipeline.envs.gym.find import creator_error
from pipeline.envs.gym.make import Made
from pipeline.envs.rendering import choose_renderer
from pipeline.errors import NoRenderer

NO_PICTURE = "{} cannot draw pictures: {}. Collect without them: render=false"


def draw(made: Made) -> UInt8[np.ndarray, "h w 3"]:
    """The present picture, the caller's own. Raises NoRenderer with what is missing."""
    env = made.env
    name = env.spec.id if env.spec else type(env.unwrapped).__name__
    if made.blind:
        raise NoRenderer(NO_PICTURE.format(name, made.blind))
    if hasattr(env.unwrapped, "mujoco_renderer"):
        choose_renderer()  # Gymnasium takes what MUJOCO_GL says, and a window where it says nothing
    try:
        picture = env.render()
    except (ImportError, DependencyNotInstalled) as error:
        raise NoRenderer(NO_PICTURE.format(name, f"a package that draws is not installed: {error}")) from error
    except Exception as error:  # each library fails in its own way
        raise NoRenderer(NO_PICTURE.format(name, creator_error(error))) from error
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
        got = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
        raise NoRenderer(
            NO_PICTURE.format(name, f"its render() should give uint8 of shape (height, width, 3), it gave {got}")
        )
    return picture.copy()
