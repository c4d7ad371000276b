"""Finding a library that draws; each case in its own process, because the choice lasts as long as a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.envs import rendering
from pipeline.errors import NoRenderer

pytest.importorskip("mujoco")

DRAW = """
import mujoco
from pipeline.envs.rendering import open_renderer
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = open_renderer(model, 24, 32)
renderer.update_scene(data)
print(renderer.render().shape)
renderer.close()
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in (rendering.VARIABLE, "PYOPENGL_PLATFORM", "DISPLAY")}
    return subprocess.run(
        [sys.executable, "-c", code], env={**clean, **variables}, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(rendering.VARIABLE, raising=False)
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    rendering._probe.cache_clear()
    yield monkeypatch
    rendering._probe.cache_clear()
    # choose_renderer sets the variable; a later test must find the environment as it was
    os.environ.pop(rendering.VARIABLE, None)


@pytest.mark.render
def test_a_mujoco_that_was_imported_before_the_choice_draws_all_the_same():
    done = run(DRAW)
    if "NoRenderer" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.stdout.strip() == "(24, 32, 3)"


@pytest.mark.render
def test_a_chosen_library_that_cannot_draw_is_named_with_what_to_install():
    done = run(DRAW, MUJOCO_GL="glfw")  # needs a display, and there is none
    assert "NoRenderer: MUJOCO_GL=glfw does not draw" in done.stderr
    assert "apt-get install libosmesa6" in done.stderr


def test_a_set_variable_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(rendering.VARIABLE, "OSMesa ")
    assert rendering.choose_renderer() == "osmesa"


def test_drawing_may_be_switched_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(rendering.VARIABLE, "off")
    with pytest.raises(NoRenderer, match="switches"):
        rendering.choose_renderer()


def test_the_first_library_that_draws_is_taken_and_told_to_children(unset: pytest.MonkeyPatch):
    unset.setattr(rendering, "_PROBE", "import os\nassert os.environ['MUJOCO_GL'] == 'osmesa', 'no driver'")
    assert rendering.choose_renderer() == "osmesa"
    assert os.environ[rendering.VARIABLE] == "osmesa"


def test_when_nothing_draws_the_message_says_what_was_tried(unset: pytest.MonkeyPatch):
    unset.setattr(rendering, "_PROBE", "raise SystemExit('no driver for ' + __import__('os').environ['MUJOCO_GL'])")
    with pytest.raises(NoRenderer) as raised:
        rendering.choose_renderer()
    assert "egl (no driver for egl), osmesa (no driver for osmesa)" in str(raised.value)
    assert "apt-get install libosmesa6" in str(raised.value)


WITHOUT_LIBRARIES = """
import ctypes
load = ctypes.CDLL.__init__
def missing(self, name, *arguments, **options):
    if name and ("OSMesa" in str(name) or "EGL" in str(name)):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    load(self, name, *arguments, **options)
ctypes.CDLL.__init__ = missing
"""
"""As the system's loader answers where OSMesa and EGL are not installed; for this process and its children."""

COLLECT = """
from pipeline.envs.dm.environment import DeepMind
from pipeline.envs.mujoco import MuJoCo
from pipeline.errors import NoRenderer
for environment in ENVIRONMENTS:
    environment.reset(0)
    environment.step(environment.action_spec.low)
    print("stepped")
    try:
        environment.render()
    except NoRenderer as error:
        print(error)
"""


@pytest.mark.parametrize("chosen", ["osmesa", "egl", ""])
@pytest.mark.parametrize(
    ("package", "environment"), [("gymnasium", "MuJoCo('hopper')"), ("dm_control", "DeepMind('cartpole-swingup')")]
)
def test_without_opengl_episodes_are_made_and_a_picture_says_what_to_install(tmp_path, chosen, package, environment):
    pytest.importorskip(package)
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_LIBRARIES)
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = run(COLLECT.replace("ENVIRONMENTS", f"[{environment}]"), PYTHONPATH=path, MUJOCO_GL=chosen)
    stepped, message = done.stdout.strip().splitlines()
    assert stepped == "stepped", done.stderr
    assert ("MUJOCO_GL=" + chosen if chosen else "tried egl (") in message
    assert "apt-get install libosmesa6" in message
    assert "libegl1" in message


def test_the_variable_is_as_before_after_an_import_without_opengl(monkeypatch: pytest.MonkeyPatch):
    for value in ("egl", None):
        if value is None:
            monkeypatch.delenv(rendering.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(rendering.VARIABLE, value)
        with pytest.raises(ValueError, match="failed"), rendering.without_opengl():
            assert os.environ[rendering.VARIABLE] == "disable"
            raise ValueError("the import failed")
        assert os.environ.get(rendering.VARIABLE) == value
