"""Networks without their classifier: REGENT's, any of torchvision's, any module of the user's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pipeline.embedding.preprocessing import Picture
from pipeline.embedding.torchvision_import import torchvision
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.source_code import name_and_source

if TYPE_CHECKING:
    from torch import nn

GROUPS = 16
HEADS = ("fc", "classifier", "heads", "head")
"""Where networks keep their classifier; names of its weights begin so."""


@dataclass(frozen=True)
class Published:
    """Weights that have a name.

    Attributes:
        name: the first of its names.
        file: name of the file, which ends in the first digits of its SHA-256.
        fetch: downloads the state dict, or finds it in torch's cache.
    """

    name: str
    url: str
    file: str
    fetch: Callable[[], Mapping[str, Any]]


@runtime_checkable
class Network(Protocol):
    """Builds a module that maps (b, 3, h, w) to (b, features).

    Attributes:
        headless: its classifier was taken off; a file of weights may still hold the classifier's.
        advice: where its weights come from, for a person who has named none.
    """

    headless: bool

    @property
    def advice(self) -> str: ...

    def identity(self) -> Mapping[str, Any]:
        """JSON facts that change what it computes, apart from its weights. Builds nothing."""

    def build(self, weights: str | None) -> nn.Module:
        """The module that fits these weights, with random ones from torch's generator. Raises InvalidInput."""

    def published(self) -> Sequence[str]:
        """Names of its published weights."""

    def named(self, weights: str) -> Published:
        """One of the published weights."""

    def picture(self, weights: str | None) -> Picture | None:
        """How pictures are prepared for these weights, where the network knows."""


class Unpublished:
    """The part of a network that has no published weights."""

    def published(self) -> Sequence[str]:
        return ()

    def named(self, weights: str) -> Published:
        raise InvalidInput(f"There are no published weights named {weights}.")

    def picture(self, weights: str | None) -> Picture | None:
        return None


class RegentResNet18(Unpublished):
    """torchvision's ResNet-18 with GroupNorm of 16 groups in place of every BatchNorm, and no classifier: 512 numbers.

    Source: REGENT (arXiv:2412.04759), which takes network and weights from data4robotics.
    """

    headless = True
    advice = (
        "REGENT's weights are the file visual_features/resnet18/IN_1M_resnet18.pth of data4robotics: "
        "https://github.com/SudeepDasari/data4robotics, whose download_features.sh fetches "
        "https://www.cs.cmu.edu/~data4robotics/release/features.zip. Then: embedding.weights=PATH/IN_1M_resnet18.pth. "
        "For a trial without them, the same network with random weights: embedding.weights=random"
    )

    def identity(self) -> Mapping[str, Any]:
        return {"name": "resnet18", "norm": f"group {GROUPS}"}

    def build(self, weights: str | None) -> nn.Module:
        from torch import nn

        return _without_head(torchvision().models.resnet18(norm_layer=functools.partial(nn.GroupNorm, GROUPS)))


class Torchvision:
    """A classification network of torchvision by its name, without its classifier.

    Args:
        model: as in torchvision.models, such as resnet50.
        preset: the published weights whose preparation of pictures is used where the weights are a file or random.
    """

    headless = True

    def __init__(self, model: str, preset: str) -> None:
        self.model, self.preset = model, preset

    @property
    def advice(self) -> str:
        return (
            f"torchvision publishes {', '.join(self.published())} for {self.model}: "
            f"embedding.weights={self.preset} downloads them. Or a file of your own, or random."
        )

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.model, "library": "torchvision"}

    def build(self, weights: str | None) -> nn.Module:
        size = {"image_size": self.picture(weights).crop} if self.model.startswith("vit_") else {}
        return _without_head(torchvision().models.get_model(self.model, weights=None, **size))

    def published(self) -> Sequence[str]:
        return tuple(self._enum().__members__)

    def named(self, weights: str) -> Published:
        entry = self._enum()[weights]
        fetch = functools.partial(entry.get_state_dict, progress=True, check_hash=True, weights_only=True)
        return Published(entry.name, entry.url, PurePosixPath(entry.url).name, fetch)

    def picture(self, weights: str | None) -> Picture:
        """As torchvision prepares uint8 pictures for the named weights, or for the preset."""
        known = self._enum()
        name = weights if weights is not None and weights in known.__members__ else self.preset
        if name not in known.__members__:
            raise unknown_name(f"embedding.network.preset of {self.model}", name, known.__members__)
        official = known[name].transforms()
        return Picture(
            size=official.resize_size[0],
            crop=official.crop_size[0],
            interpolation=official.interpolation.value,
            antialias=official.antialias,
            rounded=True,
            mean=official.mean,
            std=official.std,
        )

    def _enum(self) -> Any:
        """The weights that torchvision has for it. Raises UnknownName for a network that it does not have."""
        models = torchvision().models
        known = models.list_models(module=models)
        if self.model not in known:
            raise unknown_name("classification network of torchvision", self.model, known)
        return models.get_model_weights(self.model)


class Module(Unpublished):
    """Any module that maps (b, 3, h, w) float32 to (b, features).

    Args:
        make: the class, or a function that returns a module; a `functools.partial` of it with its parameters.

    Raises InvalidInput for what has no name in a module, or parameters that are no plain values.
    """

    headless = False
    advice = (
        "Give a file with its state dict, embedding.weights=FILE, or embedding.weights=random for those that it is "
        "made with."
    )

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make if isinstance(make, functools.partial) else functools.partial(make)

    def identity(self) -> Mapping[str, Any]:
        """Where the class stands, BLAKE3 of that source file, and the parameters."""
        parameters = {"": list(self._make.args), **self._make.keywords}
        name, source = name_and_source(self._make.func, parameters)
        return {"name": name, "parameters": parameters, "source": source}

    def build(self, weights: str | None) -> nn.Module:
        from torch import nn

        made = self._make()
        if not isinstance(made, nn.Module):
            raise InvalidInput(f"{self.identity()['name']} must give a torch module; it gave {type(made).__name__}.")
        return made


def _without_head(module: nn.Module) -> nn.Module:
    from torch import nn

    for name in HEADS:
        if hasattr(module, name):
            setattr(module, name, nn.Identity())
            return module
    raise InvalidInput(
        f"{type(module).__name__} has no classifier under the names {', '.join(HEADS)}, so nobody knows where its "
        "features end. Wrap it in a module of your own: embedding=module embedding.network.make._target_=..."
    )
