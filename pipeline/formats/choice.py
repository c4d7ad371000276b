"""Which form: by the name that a manifest gives, as `format=NAME` gives it on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pipeline.errors import unknown_name
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Refusal

FORMS: dict[str, str] = {
    "d4rl": "pipeline.formats.d4rl.D4rlFormat",
    "kabuki": "pipeline.formats.kabuki.KabukiFormat",
    **dict.fromkeys(("hdf5", "npz", "npzc", "pkl"), "pipeline.formats.lram.format.LramFormat"),
    "minari": "pipeline.formats.minari.format.MinariFormat",
    "ogbench": "pipeline.formats.ogbench.OgbenchFormat",
    "rlds": "pipeline.formats.rlds.format.RldsFormat",
    "lerobot": "pipeline.formats.lerobot.format.LeRobotFormat",
    "imitation": "pipeline.formats.imitation.ImitationFormat",
    "atlas": "pipeline.formats.atlas.AtlasFormat",
    "frames": "pipeline.formats.image_text.frames.FramesFormat",
    "interleaved": "pipeline.formats.image_text.interleaved.InterleavedFormat",
    "simple": "pipeline.formats.image_text.simple.SimpleFormat",
    "rlhf_blender": "pipeline.formats.blender.format.BlenderFormat",
    "bagel": "pipeline.formats.image_text.bagel.BagelFormat",
    "thinkmorph": "pipeline.formats.image_text.thinkmorph.ThinkMorphFormat",
}
"""The class of each form, as the `_target_` of its YAML says it; a form is imported when it is first needed."""


FORM_WORDS = {
    "kabuki": "one HDF5 file a task, flat arrays; it holds all",
    "d4rl": "one HDF5 file a task with next observations, as D4RL's",
    "ogbench": ".npz files, one to train and one to validate",
    "minari": "a folder that Minari loads",
    "rlds": "a folder that TensorFlow Datasets opens",
    "lerobot": "one LeRobot dataset of all tasks",
    "hdf5": "LRAM's folder of a file an episode",
    "npz": "the same, .npz files",
    "npzc": "the same, compressed .npz files",
    "pkl": "the same, pickles",
    "imitation": "a folder that imitation trains on: vectors",
    "atlas": "parquet for Embedding Atlas: states as points, with their neighbours",
    "frames": "folders of PNG screens and action texts, one an episode",
    "interleaved": "image-text parquet, an episode a row: frames and actions in turns",
    "simple": "image-text parquet, a frame and its action a row",
    "rlhf_blender": "videos, arrays and a registry that RLHF-Blender shows to people",
    "bagel": "parquet for BAGEL and NeMo Automodel: windows of frames, actions between them",
    "thinkmorph": "parquet for ThinkMorph: a prompt, then actions and frames in turns",
}
"""What each form is, for who has named none."""


def form_list() -> str:
    """The forms, a line each."""
    return "\n".join(f"  format={name:<12} {words}" for name, words in FORM_WORDS.items())


def holders(refusal: Refusal) -> str:
    """The forms that take what another one refuses, and that a door brings back: `format=d4rl, kabuki or rlds`."""
    *names, last = [name for name in sorted(FORMS) if _takes(_class(name), refusal)]
    return f"format={', '.join(names)} or {last}"


def form_of(parameters: Mapping[str, Any]) -> Format:
    """The form with the settings that an export was made with. Raises UnknownName for one of another program."""
    name = str(parameters.get("format"))
    if name not in FORMS:
        raise unknown_name("format", name, FORMS)
    return _class(name).of_identity(parameters)


def _takes(form: type[Format], refusal: Refusal) -> bool:
    has_door = form.source is not Format.source
    return has_door and Aspect.OBSERVATIONS in form.holds and refusal not in form.refuses


def _class(name: str) -> type[Format]:
    module, _, kind = FORMS[name].rpartition(".")
    found: type[Format] = getattr(import_module(module), kind)
    return found
