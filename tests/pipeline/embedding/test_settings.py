"""Settings: what changes vectors is in the identity and nothing else."""

from importlib.metadata import version
from importlib.util import find_spec

import pytest

from pipeline.embedding.networks import Torchvision
from pipeline.errors import InvalidInput, UnknownName
from pipeline.fingerprint import canonical
from tests.pipeline.embedding.encoders import Mixing, embedding


def identity(**settings):
    return canonical(embedding(**settings).identity())


@pytest.mark.parametrize("settings", [{"batch": 3}, {"name": "other"}])
def test_what_changes_no_vector_is_not_in_the_identity(settings):
    assert identity(**settings) == identity()


@pytest.mark.parametrize(
    "settings",
    [
        {"make": Mixing},
        {"seed": 1},
        {"width": 3},
        {"frames": 2},
        {"layout": "each"},
        {"padding": "zero"},
        {"dtype": "bfloat16"},
        {"dtype": "float16"},
        {"device": "cuda"},
        {"compile": True},
    ],
)
def test_what_changes_vectors_is(settings):
    assert identity(**settings) != identity()


FLOAT32 = {"engine": "eager", "dtype": "float32", "device": "cpu", "width": 16}


def test_numerics_name_the_versions_of_what_computes():
    torch = {"torch": version("torch").split("+")[0]}
    assert embedding().identity()["numerics"] == FLOAT32 | torch
    if find_spec("openvino"):
        openvino = {"engine": "openvino", "openvino": version("openvino")}
        assert embedding(compile="openvino").identity()["numerics"] == FLOAT32 | torch | openvino
    else:
        with pytest.raises(InvalidInput, match=r"OpenVINO is not installed.*repertoire\[openvino\]"):
            embedding(compile="openvino").identity()


def test_which_gpu_and_how_one_frame_is_laid_out_change_nothing():
    assert identity(device="cuda:0") == identity(device="cuda:1")
    assert identity(frames=1, layout="each", padding="zero") == identity(frames=1)


def test_labels_name_network_and_width():
    assert embedding().label == "small_8"
    assert embedding(width=3).label == "small_3"
    assert embedding(layout="each").label == "small_32"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"layout": "horizontal"}, "Known: channels, each, vertical"),
        ({"padding": "last"}, "Known: first, zero"),
        ({"dtype": "float64"}, "Known: bfloat16, float16, float32"),
        ({"device": "tpu"}, "embedding.device=tpu is no device"),
        ({"compile": "yes"}, "none of auto, true, false and openvino"),
        ({"compile": "openvino", "device": "cuda"}, "computes on the CPU, and embedding.device=cuda"),
        ({"frames": 0}, "embedding.frames=0 must be at least 1"),
        ({"batch": 0}, "embedding.batch=0 must be at least 1"),
        ({"layout": "channels"}, "Use embedding.frames=3"),
        ({"width": 9}, "has 8 numbers, and the first ones are kept. Use 1 to 8"),
        ({"width": 0}, "Use 1 to 8"),
    ],
)
def test_wrong_values_are_refused_at_once(settings, complaint):
    with pytest.raises((InvalidInput, UnknownName), match=complaint):
        embedding(**settings)


def test_a_crop_never_cuts_frames_away():
    settings = embedding(picture=None, network=Torchvision("resnet18", "IMAGENET1K_V1"), features=512)
    with pytest.raises(InvalidInput, match="cuts its middle out. Use embedding.layout=each"):
        settings.identity()
    with pytest.raises(InvalidInput, match="knows no preparation of its own"):
        embedding(picture=None).identity()
