"""Which OpenGL library draws MuJoCo's pictures on this machine, found by trying them in a child process."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from pipeline.errors import NoRenderer
from pipeline.machine.variables import variables_set

if TYPE_CHECKING:
    import mujoco

VARIABLE = "MUJOCO_GL"
CHOICES = ("egl", "osmesa")
"""Tried in this order: EGL uses a graphics card where there is one, OSMesa needs nothing but the library."""

PROBE_SECONDS = 60
INSTALL = (
    "Install a software renderer (apt-get install libosmesa6) or an EGL driver (the card's own, or apt-get install "
    "libegl1), then run the same command again."
)
SWITCHED_OFF = ("disable", "disabled", "off", "false", "0")

# Draws one sphere: a library that loads but cannot draw, for want of a driver or a display, must count as missing.
_PROBE = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 16, 16)
renderer.update_scene(data)
assert renderer.render().any()
renderer.close()
"""


def choose_renderer() -> str:
    """The name of a library that draws; also put into MUJOCO_GL, for this process and its children.

    A MUJOCO_GL that is set already is kept, unread. Otherwise each choice is tried in a child process, because a failed
    attempt leaves a process unable to try another one, and a broken driver may crash. About a second, once per process.
    May be called after MuJoCo was imported: `open_renderer` follows all the same.

    Raises:
        NoRenderer: neither draws, or MUJOCO_GL switches drawing off.
    """
    name = os.environ.get(VARIABLE, "").lower().strip()
    if name in SWITCHED_OFF:
        raise NoRenderer(f"{VARIABLE}={name} switches MuJoCo's pictures off. Unset it, or set it to egl or osmesa.")
    if not name:
        name = os.environ[VARIABLE] = _probe()
    return name


@contextmanager
def without_opengl() -> Iterator[None]:
    """MuJoCo and dm_control, imported inside, load no OpenGL library: a missing one must not stop who never draws.

    Both read MUJOCO_GL while they are imported, and fail there where the library that it names is not to be loaded.
    `open_renderer` draws all the same.
    """
    with variables_set({VARIABLE: SWITCHED_OFF[0]}):
        yield


def open_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """An offscreen renderer for pictures of (height, width). The caller closes it.

    Raises:
        NoRenderer: nothing on this machine draws; the message says what to install.
    """
    name = choose_renderer()
    with without_opengl():
        import mujoco

    try:
        _use(name)
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # each library fails in its own way: AttributeError, GLError, FatalError, ImportError
        raise NoRenderer(
            f"{VARIABLE}={name} does not draw on this machine: {error}. Unset it, or: {INSTALL}"
        ) from error


class Painter:
    """Draws a copy of a simulation's state, so that drawing can never change an episode."""

    def __init__(
        self, model: mujoco.MjModel, camera: str | int, height: int, width: int, upside_down: bool = False
    ) -> None:
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        self._renderer = open_renderer(model, height, width)
        import mujoco

        self._mujoco, self._model, self._camera, self._upside_down = mujoco, model, camera, upside_down
        self._shown = mujoco.MjvOption()
        self._shown.flags[mujoco.mjtVisFlag.mjVIS_RANGEFINDER] = 0  # rays of sensors are no part of the scene
        self._data = mujoco.MjData(model)
        self._kind = mujoco.mjtState.mjSTATE_INTEGRATION  # all that the simulation starts its next step from
        self._state = np.empty(mujoco.mj_stateSize(model, self._kind))

    def paint(self, data: mujoco.MjData) -> UInt8[np.ndarray, "h w 3"]:
        """A picture of the state in `data`."""
        self._mujoco.mj_getState(self._model, data, self._state, self._kind)
        self._mujoco.mj_setState(self._model, self._data, self._state, self._kind)
        # A reset may place a marker in the model without moving it in the data; this moves it, in the copy.
        self._mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, camera=self._camera, scene_option=self._shown)
        picture: np.ndarray = self._renderer.render()
        return np.ascontiguousarray(picture[::-1, ::-1]) if self._upside_down else picture

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()


@functools.cache
def _probe() -> str:
    failures = []
    for name in CHOICES:
        try:
            subprocess.run(
                [sys.executable, "-c", _PROBE],
                env={**os.environ, VARIABLE: name},
                check=True,
                capture_output=True,
                text=True,
                timeout=PROBE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            failures.append(f"{name} (no picture within {PROBE_SECONDS} s)")
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            failures.append(f"{name} ({lines[-1] if lines else f'exit status {error.returncode}'})")
        else:
            return name
    raise NoRenderer(f"Nothing on this machine draws MuJoCo's pictures; tried {', '.join(failures)}. {INSTALL}")


def _use(name: str) -> None:
    """Make MuJoCo follow the choice even where it was imported before: it reads MUJOCO_GL only then."""
    context = importlib.import_module("mujoco.gl_context")
    if name in CHOICES:
        vars(context)["GLContext"] = importlib.import_module(f"mujoco.{name}").GLContext
    elif not hasattr(context, "GLContext"):  # imported without OpenGL; GLFW is what every other name stands for
        vars(context)["GLContext"] = importlib.import_module("mujoco.glfw").GLContext
