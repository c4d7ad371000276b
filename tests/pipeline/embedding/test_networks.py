"""Each network gives what an independently built one with the same weights gives."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pipeline.embedding.networks import Module, RegentResNet18, Torchvision
from pipeline.embedding.preprocessing import prepare
from pipeline.embedding.torchvision_import import torchvision
from pipeline.embedding.weights import load
from pipeline.errors import InvalidInput, UnknownName
from tests.pipeline.embedding.encoders import Small
from tests.test_conf import CONF

MAKE, SMALL = "embedding.network.make._target_", "tests.pipeline.embedding.encoders.Small"


def composed(*words):
    """The settings as a user gets them."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("config", ["domain=atari", "embedding.weights=random", *words]).embedding
        return instantiate(node, _convert_="object")


def vectors(embedding, frames):
    """Ours, without the engine around it."""
    module = load(embedding.network, embedding.weights, embedding.seed).eval()
    with torch.inference_mode():
        return module, module(prepare(torch.from_numpy(frames), embedding.layout, embedding.prepared())).numpy()


def bilinear(picture, height, width):
    """(h, w) to (height, width) by weights between pixel centres, in float64; edges are repeated."""

    def along(length, wanted):
        centre = (np.arange(wanted) + 0.5) * length / wanted - 0.5
        low = np.floor(centre).astype(int)
        weights = np.zeros((wanted, length))
        for i, (at, below) in enumerate(zip(centre, low, strict=True)):
            weights[i, np.clip(below, 0, length - 1)] += 1 - (at - below)
            weights[i, np.clip(below + 1, 0, length - 1)] += at - below
        return weights

    return along(picture.shape[0], height) @ picture @ along(picture.shape[1], width).T


def regent(stack, weights):
    """REGENT's vector of a stack (4, 84, 84) uint8, from section 3.4 of its preprocessing and He et al. (2015)."""
    jat = (stack / 255 - 0.5) / 0.5
    tall = np.concatenate(list(jat * 0.5 + 0.5))  # frame 0 on top
    resized = bilinear(tall, 224, 224)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = torch.from_numpy((resized[None] - mean[:, None, None]) / std[:, None, None])[None]

    def norm(x, name):
        return F.group_norm(x, 16, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-5)

    x = F.max_pool2d(F.relu(norm(F.conv2d(x, weights["conv1.weight"], stride=2, padding=3), "bn1")), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            y = norm(F.conv2d(y, weights[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2:
                x = norm(F.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.mean((2, 3))[0].numpy()


def test_regents_network_equals_one_written_from_its_description():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 4, 84, 84), np.uint8)
    module, found = vectors(composed("embedding=resnet18_regent"), frames)
    weights = {name: value.double() for name, value in module.state_dict().items()}
    assert not any("running" in name or name.startswith("fc") for name in weights)
    assert found.shape == (2, 512)
    for stack, vector in zip(frames, found, strict=True):
        wanted = regent(stack, weights)
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(vector, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("choice", "model", "preset", "features", "head"),
    [
        ("resnet18", "resnet18", "ResNet18_Weights.IMAGENET1K_V1", 512, "fc"),
        ("resnet50", "resnet50", "ResNet50_Weights.IMAGENET1K_V2", 2048, "fc"),
        ("efficientnet", "efficientnet_b0", "EfficientNet_B0_Weights.IMAGENET1K_V1", 1280, "classifier"),
        ("vit", "vit_b_16", "ViT_B_16_Weights.IMAGENET1K_V1", 768, "heads"),
    ],
)
def test_torchvisions_networks_equal_what_their_classifier_sees(choice, model, preset, features, head):
    embedding = composed(f"embedding={choice}")
    frames = np.random.default_rng(0).integers(0, 256, (1, 1, 84, 84), np.uint8)
    module, found = vectors(embedding, frames)
    models = torchvision().models
    with torch.device("meta"):  # its own weights would take long to draw
        whole = getattr(models, model)(weights=None).eval()
    setattr(whole, head, torch.nn.Identity())
    whole.load_state_dict(module.state_dict(), assign=True)
    official = models.get_weight(preset).transforms()
    with torch.inference_mode():
        wanted = whole(official(torch.from_numpy(frames[0, 0]).expand(1, 3, 84, 84))).numpy()
    assert found.shape == (1, features) == (1, embedding.dimensions)
    scale = np.abs(wanted).max()  # with random weights EfficientNet's features are tiny
    assert scale > 0
    np.testing.assert_allclose(found / scale, wanted / scale, rtol=0, atol=1e-4)


def test_every_frame_alone_gives_the_vectors_one_after_the_other():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 40), np.uint8)
    each = composed("embedding=module", "embedding.features=8", "embedding.frames=3", f"{MAKE}={SMALL}")
    alone = composed("embedding=module", "embedding.features=8", f"{MAKE}={SMALL}")
    joined = vectors(each, frames)[1].reshape(2, 24)
    assert each.dimensions == 24
    for place in range(3):
        wanted = vectors(alone, frames[:, place : place + 1])[1]
        np.testing.assert_allclose(joined[:, 8 * place : 8 * place + 8], wanted, rtol=0, atol=1e-6)


def test_a_class_of_the_users_with_its_parameters():
    embedding = composed(
        "embedding=module", "embedding.features=8", f"{MAKE}={SMALL}", "+embedding.network.make.channels=4"
    )
    assert load(embedding.network, "random", 0).first.out_channels == 4
    identity = embedding.network.identity()
    assert (identity["name"], identity["parameters"]["channels"]) == (SMALL, 4)
    assert len(identity["source"]) == 64


def test_what_cannot_be_found_again_is_no_network():
    with pytest.raises(InvalidInput, match="has no name by which it could be found again"):
        Module(lambda: Small()).identity()
    with pytest.raises(InvalidInput, match="must give a torch module; it gave dict"):
        Module(dict).build(None)


def test_a_transformer_for_larger_pictures_is_built_for_them():
    network = Torchvision("vit_b_16", "IMAGENET1K_SWAG_E2E_V1")
    assert network.picture("random").crop == 384
    with torch.device("meta"):
        assert network.build("random").image_size == 384
        assert network.build("IMAGENET1K_V1").image_size == 224


def test_unknown_names_come_with_the_known_ones():
    with pytest.raises(UnknownName, match="Nearest: resnet50"):
        Torchvision("resnet51", "IMAGENET1K_V1").picture(None)
    with pytest.raises(UnknownName, match="Known: DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2"):
        Torchvision("resnet50", "V2").picture(None)


def test_regents_network_is_groupnorm_throughout():
    module = RegentResNet18().build(None)
    norms = [each for each in module.modules() if "Norm" in type(each).__name__]
    assert len(norms) == 20
    assert all(isinstance(each, torch.nn.GroupNorm) and each.num_groups == 16 for each in norms)
