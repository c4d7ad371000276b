"""A network's weights: random from a seed, published under a name, or a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from pipeline.digest import digest_file
from pipeline.embedding.networks import HEADS, Network
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.files import check_unpacked
from pipeline.wording import few, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

RANDOM = "random"
INSIDE = ("features", "model", "state_dict")
"""Where files that hold more than a state dict have it, in this order; data4robotics has the first two."""
PREFIXES = ("_model.", "module.")
"""What stands before every name where a network was saved in a wrapper: data4robotics', torch's for several GPUs."""


def weights_identity(network: Network, weights: str | None, seed: int) -> Mapping[str, Any]:
    """Which weights: the seed, the name and file of published ones, or the BLAKE3 of a file, wherever it lies.

    Raises InvalidInput where they are not set or not there, UnknownName for a name that is not published.
    """
    if weights is None:
        raise InvalidInput(f"Which weights? {network.advice}")
    if weights == RANDOM:
        return {"random": seed}
    if weights in network.published():
        named = network.named(weights)
        return {"published": named.name, "file": named.file}
    path = _file(network, weights)
    return {"blake3": digest_file(path)}


def load(network: Network, weights: str | None, seed: int) -> nn.Module:
    """The network with its weights. Raises InvalidInput for weights that do not fit it, or cannot be downloaded."""
    import torch

    if weights is None:
        raise InvalidInput(f"Which weights? {network.advice}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = network.build(weights)
    if weights == RANDOM:
        return module
    published = weights in network.published()
    state = _downloaded(network, weights) if published else _read(_file(network, weights))
    if network.headless:
        own = module.state_dict()
        state = {name: value for name, value in state.items() if name in own or name.split(".")[0] not in HEADS}
    _check(module, state, weights)
    module.load_state_dict(state)
    return module


def _file(network: Network, weights: str) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    names = network.published()
    if names and not path.suffix and path.name == weights:
        raise unknown_name("embedding.weights", weights, names, "A file or random works, too.")
    raise InvalidInput(f"There is no file {path.absolute()} with weights. {network.advice}")


def _downloaded(network: Network, name: str) -> Mapping[str, torch.Tensor]:
    import torch

    published = network.named(name)
    try:
        return published.fetch()
    except (URLError, OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InvalidInput(
            f"The weights {name} could not be downloaded: {error}. Get {published.url} elsewhere and put it at "
            f"{folder / published.file}, or give the file: embedding.weights=PATH/{published.file}"
        ) from error


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    """The state dict in a file; nothing in it is run."""
    import torch

    check_unpacked(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever it comes upon
        raise InvalidInput(
            f"{path} cannot be read as weights: {first_line(error)} It must be a state dict of torch.save or "
            "safetensors."
        ) from error
    for key in INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not all(isinstance(each, torch.Tensor) for each in content.values()):
        raise InvalidInput(f"{path} holds no state dict, neither by itself nor under {', '.join(INSIDE)}.")
    for prefix in PREFIXES:
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def _check(module: nn.Module, state: Mapping[str, torch.Tensor], weights: str) -> None:
    own = module.state_dict()
    complaints = {
        "missing": [name for name in own if name not in state],
        "not known to it": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if any(complaints.values()):
        listed = "; ".join(f"{len(names)} {what}: {few(names)}" for what, names in complaints.items() if names)
        raise InvalidInput(f"{weights} does not fit this network. Weights {listed}.")
