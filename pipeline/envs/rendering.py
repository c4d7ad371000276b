"""Which OpenGL library draws MuJoCo's pictures on this machine, found by trying them in a child process."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from pipeline.errors import NoRenderer

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


def open_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """An offscreen renderer for pictures of (height, width). The caller closes it.

    Raises:
        NoRenderer: nothing on this machine draws; the message says what to install.
    """
    name = choose_renderer()
    import mujoco

    try:
        if name in CHOICES:
            _use(name)
        return mujoco.Renderer(model, height, width)
    except Exception as error:  # each library fails in its own way: AttributeError, GLError, FatalError, ImportError
        raise NoRenderer(
            f"{VARIABLE}={name} does not draw on this machine: {error}. Unset it, or: {INSTALL}"
        ) from error


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
    context.GLContext = importlib.import_module(f"mujoco.{name}").GLContext  # type: ignore[attr-defined]
