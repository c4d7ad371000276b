"""Networks that come as one file: TorchScript, or an archive of torch.export."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num, Shaped

from pipeline.command import again
from pipeline.digest import digest_file
from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision, Environment, Observation
from pipeline.machine.files import check_unpacked
from pipeline.observation import observation_arrays
from pipeline.policies import sampling
from pipeline.policies.inputs import Input, NetworkInputs
from pipeline.policies.network import SLOTS, SlotNetwork
from pipeline.policies.normalize import PLAIN
from pipeline.policies.outputs import ENTROPY, entropy_of, no_outputs
from pipeline.policies.stack import PADDINGS, stacked
from pipeline.wording import check_count, first_line, last_line

OUTPUTS = ("logits", "actions")
CHANNELS = ("first", "last")


class TorchModule:
    """Plays a module that maps a batch of observations, (8, ...), to logits (8, n) or actions (8, ...).

    An observation that is a mapping arrives as a mapping of batches. Nothing is scaled: what the network needs besides,
    it must do itself. Actions are clipped to the environment's bounds. Reads the file at the first `start`.

    Args:
        file: of `torch.jit.save`, or `torch.export.save` (`.pt2`; with 8 rows, or any number of them).
        output: logits, or actions as the environment takes them.
        deterministic: of logits, take the highest; False draws from their softmax with the episode's own generator.
        stack: observations that it sees at once, the newest last; unset: one, as it is.
        channels: where a stack's frames are: first, (4, 84, 84), or last, (84, 84, 4).
        padding: what a stack begins with: zero or first (the first observation repeated).
        input_dtype: such as float32; unset: as the environment shows it.
        device: cpu, cuda, cuda:1 ...
        trust: such a file is a program; only True runs it.
        outputs: tell the entropy of each decision.

    Raises InvalidInput for unknown options, without `trust`, and for a network that does not fit the environment.
    """

    slots = SLOTS

    def __init__(
        self,
        file: str | Path | None,
        output: str = "logits",
        deterministic: bool = True,
        stack: int | None = None,
        channels: str = "first",
        padding: str = "zero",
        input_dtype: str | None = None,
        device: str = "cpu",
        trust: bool = False,
        outputs: bool = False,
    ) -> None:
        if file is None:
            raise InvalidInput("Which network? Give a TorchScript or torch.export file: policy.path=FILE.pt")
        for name, value, known in (
            ("output", output, OUTPUTS),
            ("channels", channels, CHANNELS),
            ("padding", padding, PADDINGS),
        ):
            if value not in known:
                raise InvalidInput(f"policy.{name} is one of {', '.join(known)}; it is {value}.")
        if stack is not None:
            check_count("policy.stack", stack)
        if not trust:
            raise InvalidInput(
                f"{file} is a program, and playing it runs it. If you know where it comes from, allow it: "
                f"{again(trust=True)}"
            )
        self._file, self.name = Path(file).expanduser(), Path(file).stem
        self._output, self._deterministic, self._stack = output, deterministic, stack
        self._channels, self._padding, self._device = channels, padding, device
        self._dtype = None if input_dtype is None else _dtype(input_dtype)
        if outputs and output != "logits":
            raise no_outputs("a network that gives actions")
        self._outputs, self._newest = outputs, dict[int, dict[str, np.float32]]()
        self._spec: ArraySpec | None = None
        self._inputs: NetworkInputs | None = None

    def identity(self) -> Mapping[str, Any]:
        """BLAKE3 of the file, every option, and the version that computes."""
        if not self._file.is_file():
            raise InvalidInput(f"There is no network {self._file}: policy.path=FILE.pt or FILE.pt2")
        return {
            "name": self.name,
            "program": digest_file(self._file),
            "output": self._output,
            "deterministic": self._deterministic,
            "stack": self._stack,
            "channels": self._channels,
            "padding": self._padding,
            "input_dtype": None if self._dtype is None else self._dtype.name,
            "width": SLOTS,
            "device": self._device.split(":")[0],
            "versions": {"torch": version("torch")},
            **({"outputs": True} if self._outputs else {}),
        }

    def start(self, slot: int, environment: Environment) -> None:
        """Begin an episode: read the actions' bounds, forget what the slot saw before."""
        self._spec = environment.action_spec
        if self._output == "logits" and _choices(self._spec) is None:
            raise InvalidInput(
                f"policy.output=logits fits one choice among several; this environment takes actions of shape "
                f"{self._spec.shape} and {self._spec.dtype}. For a network that gives them: "
                f"{again(policy__output='actions')}"
            )
        if self._inputs:
            self._inputs.clear(slot)
        _ = self._module

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """The network's actions. Raises RuntimeError before the first `start`."""
        if self._spec is None:
            raise RuntimeError(f"The policy {self.name} does not know the actions yet: call start first.")
        if self._inputs is None:
            self._inputs = self._inputs_for(decisions[0].observation)
        for decision in decisions:
            self._inputs.push(decision.slot, decision.observation)
        (output,) = self._network([decision.slot for decision in decisions])
        choose = self._chosen if self._output == "logits" else self._given
        actions = [choose(output[decision.slot, ...], self._spec, decision.rng) for decision in decisions]
        if self._outputs:  # after the actions, which say what is wrong with such logits
            self._newest |= {each.slot: {ENTROPY: entropy_of(output[each.slot, ...])} for each in decisions}
        return actions

    def outputs(self, slot: int) -> Mapping[str, np.float32]:
        """The entropy of the newest logits in a slot, if that was asked for."""
        return self._newest.get(slot, {})

    def _chosen(
        self, logits: Float[np.ndarray, "..."], spec: ArraySpec, rng: np.random.Generator
    ) -> Shaped[np.ndarray, ""]:
        choices = _choices(spec)
        if logits.shape != (choices,) or logits.dtype.kind != "f":
            is_action = logits.size == 1 and logits.dtype.kind != "f"
            raise InvalidInput(
                f"{self._file} gives {logits.shape} logits of dtype {logits.dtype} for each observation; this "
                f"environment takes one of {choices} actions, for which logits are real numbers."
                + (f" If it gives actions: {again(policy__output='actions')}" if is_action else "")
            )
        best = int(np.argmax(sampling.finite(logits.clip(min=np.finfo(logits.dtype).min))))
        return np.asarray(
            int(np.asarray(spec.low)) + (best if self._deterministic else sampling.categorical(logits, rng)), spec.dtype
        )

    def _given(
        self, action: Num[np.ndarray, "..."], spec: ArraySpec, _: np.random.Generator
    ) -> Shaped[np.ndarray, "..."]:
        same_kind = (action.dtype.kind == "f") == (spec.dtype.kind == "f")
        if action.size != int(np.prod(spec.shape)) or not same_kind:
            are_logits = action.shape == (_choices(spec),) and action.dtype.kind == "f"
            raise InvalidInput(
                f"{self._file} gives actions of shape {action.shape} and dtype {action.dtype}; this environment takes "
                f"{spec.shape} and {spec.dtype}."
                + (f" If they are logits: {again(policy__output='logits')}" if are_logits else "")
            )
        return np.asarray(np.clip(sampling.finite(action), spec.low, spec.high), spec.dtype).reshape(spec.shape)

    @cached_property
    def _module(self) -> Any:
        import torch

        if not self._file.is_file():
            raise InvalidInput(f"There is no network {self._file}: policy.path=FILE.pt or FILE.pt2")
        if self._device.startswith("cuda") and not torch.cuda.is_available():
            raise InvalidInput(f"policy.device={self._device}, but torch finds no GPU here. Leave it out for the CPU.")
        check_unpacked(self._file)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather have everybody export
                if self._file.suffix == ".pt2":
                    return torch.export.load(self._file).module().to(self._device)
                jit: Any = torch.jit
                return jit.load(self._file, map_location=self._device).eval()
        except Exception as error:  # torch raises whatever it comes upon
            raise InvalidInput(
                f"{self._file} cannot be read: {first_line(error)} "
                f"It must come from torch.jit.save, or from torch.export.save and end in .pt2."
            ) from error

    @cached_property
    def _network(self) -> SlotNetwork:
        assert self._inputs is not None
        rng, examples = np.random.default_rng(0), {}
        for name, tensor in self._inputs.tensors.items():
            shape, dtype = tuple(tensor.shape), tensor.numpy().dtype
            values = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, _most(dtype), shape, np.int64)
            examples[name] = values.astype(dtype)
        return SlotNetwork(self._forward, self._inputs.tensors, examples)

    def _forward(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        import torch

        jit: Any = torch.jit
        there = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        try:
            with jit.optimized_execution(False):  # else the first calls are computed in another way than the rest
                output = self._module(there[PLAIN] if set(there) == {PLAIN} else there)
        except Exception as error:  # a program may raise anything
            shapes = ", ".join(f"{name} {tensor.dtype} {tuple(tensor.shape)}".strip() for name, tensor in there.items())
            raise InvalidInput(f"{self._file} does not take {shapes}: {last_line(error)}{_HINT}") from error
        if not isinstance(output, torch.Tensor) or output.shape[:1] != (SLOTS,):
            what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise InvalidInput(
                f"{self._file} must give one tensor with {SLOTS} rows, one for each observation: {what}."
            )
        return (output,)

    def _inputs_for(self, observation: Observation) -> NetworkInputs:
        return NetworkInputs(
            {
                name: Input(stacked(seen.shape, self._stack, self._channels), self._dtype or seen.dtype, self._padding)
                for name, seen in observation_arrays(observation).items()
            }
        )


_HINT = " Options that shape what it sees: policy.stack, policy.channels, policy.input_dtype."


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError as error:
        raise InvalidInput(f"policy.input_dtype is a number type such as float32 or uint8; it is {name}.") from error


def _most(dtype: np.dtype[Any]) -> int:
    """Example values: all of a picture's; of other whole numbers, which may be indices, only 0 and 1."""
    return 256 if dtype == np.uint8 else 2


def _choices(spec: ArraySpec) -> int | None:
    """How many actions there are, where one of several is taken; else None."""
    if spec.shape != () or spec.dtype.kind not in "iu":
        return None
    return int(np.asarray(spec.high)) - int(np.asarray(spec.low)) + 1
