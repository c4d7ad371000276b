"""Weights: random, published, from files of several kinds, and what is said about those that do not fit."""

import functools

import pytest
import torch
from safetensors.torch import save_file

from pipeline.embedding.networks import Module, Published, RegentResNet18, Torchvision
from pipeline.embedding.weights import load, weights_identity
from pipeline.errors import InvalidInput, UnknownName
from tests.pipeline.embedding.encoders import Small

NETWORK = Module(Small)


def state(seed=1):
    return {name: value.clone() for name, value in load(NETWORK, "random", seed).state_dict().items()}


def saved(path, content):
    torch.save(content, path)
    return str(path)


def loads(path, wanted=None, network=NETWORK):
    found = load(network, path, 0).state_dict()
    return all(torch.equal(found[name], value) for name, value in (wanted or state()).items())


def test_random_weights_follow_the_seed_and_nothing_else():
    before = torch.get_rng_state()
    first, again, other = (load(NETWORK, "random", seed).first.weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_identity(NETWORK, "random", 3) == {"random": 3}


@pytest.mark.parametrize("wrap", [dict, lambda s: {"features": s, "model": {}}, lambda s: {"model": s, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "_model.", "module."])
def test_state_dicts_are_found_where_people_put_them(tmp_path, wrap, prefix):
    assert loads(saved(tmp_path / "w.pth", wrap({prefix + name: value for name, value in state().items()})))


def test_safetensors_are_weights_too(tmp_path):
    save_file(state(), tmp_path / "w.safetensors")
    assert loads(str(tmp_path / "w.safetensors"))


def test_a_file_is_known_by_its_content(tmp_path):
    one, same, other = (saved(tmp_path / name, state(seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    (tmp_path / "b").write_bytes((tmp_path / "a").read_bytes())
    assert weights_identity(NETWORK, one, 0) == weights_identity(NETWORK, same, 7)
    assert weights_identity(NETWORK, one, 0) != weights_identity(NETWORK, other, 0)


def test_a_file_that_does_not_fit_is_told_with_every_difference(tmp_path):
    wrong = state()
    wrong["third.weight"] = wrong.pop("second.weight")
    wrong["last.weight"] = torch.zeros(8, 9, 1, 1)
    with pytest.raises(InvalidInput) as told:
        loads(saved(tmp_path / "w.pth", wrong))
    for part in (
        "1 missing: second.weight",
        "1 not known to it: third.weight",
        "1 of another shape: last.weight (8, 9, 1, 1) instead of (8, 6, 1, 1)",
    ):
        assert part in str(told.value)


def test_batchnorm_weights_do_not_pass_for_regents(tmp_path):
    theirs = Torchvision("resnet18", "IMAGENET1K_V1").build(None)
    with pytest.raises(InvalidInput, match=r"60 not known to it: bn1.running_mean, .* and 55 more"):
        load(RegentResNet18(), saved(tmp_path / "w.pth", theirs.state_dict()), 0)


def test_a_classifier_in_the_file_is_left_there(tmp_path):
    network = RegentResNet18()
    wanted = load(network, "random", 5).state_dict()
    path = saved(tmp_path / "w.pth", {"features": {**wanted, "fc.weight": torch.zeros(9, 512)}})
    assert loads(path, wanted, network)


class Harmful:
    def __reduce__(self):
        return print, ("this must not run",)


@pytest.mark.parametrize(
    ("content", "complaint"), [({"epoch": 3}, "holds no state dict"), (Harmful(), "cannot be read as weights")]
)
def test_a_file_without_weights_is_refused_and_never_run(tmp_path, capsys, content, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        loads(saved(tmp_path / "w.pth", content))
    assert capsys.readouterr().out == ""


def test_weights_must_be_said():
    with pytest.raises(InvalidInput, match="IN_1M_resnet18.pth of data4robotics: https.*embedding.weights=random"):
        weights_identity(RegentResNet18(), None, 0)
    with pytest.raises(InvalidInput, match="There is no file .*nowhere.pth"):
        weights_identity(RegentResNet18(), "nowhere.pth", 0)
    resnet = Torchvision("resnet50", "IMAGENET1K_V2")
    with pytest.raises(InvalidInput, match="torchvision publishes IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT for resnet50"):
        weights_identity(resnet, None, 0)
    with pytest.raises(UnknownName, match="Known: DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2. A file or random"):
        weights_identity(resnet, "IMAGENET1K_V3", 0)


def test_published_weights_are_taken_from_torchs_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    resnet = Torchvision("resnet18", "IMAGENET1K_V1")
    whole = torch.nn.Module.state_dict(resnet.build(None)) | {"fc.weight": torch.zeros(1000, 512)}
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(whole, tmp_path / "hub" / "checkpoints" / resnet.named("DEFAULT").file)
    found = load(resnet, "IMAGENET1K_V1", 0).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in found.items())
    assert weights_identity(resnet, "DEFAULT", 0) == weights_identity(resnet, "IMAGENET1K_V1", 0)


class Unreachable(Module):
    """Its weights are published where nobody listens."""

    def published(self):
        return ("V1",)

    def named(self, weights):
        url = "http://127.0.0.1:9/small-00000000.pth"
        return Published("V1", url, "small-00000000.pth", functools.partial(torch.hub.load_state_dict_from_url, url))


def test_without_a_network_the_address_and_the_folder_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidInput) as told:
        load(Unreachable(Small), "V1", 0)
    assert "Get http://127.0.0.1:9/small-00000000.pth elsewhere" in str(told.value)
    assert str(tmp_path / "hub" / "checkpoints" / "small-00000000.pth") in str(told.value)
