"""Runs a network over pictures: one batch width, one device, compiled where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from pipeline.command import again
from pipeline.embedding.compiler import missing_tools
from pipeline.embedding.openvino_network import OpenVinoNetwork
from pipeline.embedding.preprocessing import prepare
from pipeline.embedding.settings import WIDTHS, Embedding
from pipeline.embedding.weights import load
from pipeline.errors import InvalidInput
from pipeline.machine.batch_rows import rows_stand_alone
from pipeline.wording import last_line

if TYPE_CHECKING:
    import torch


class Engine:
    """Maps inputs to vectors, each by itself: neither its place in a batch nor the others in it change its bits.

    A batch has always the same width, padded with zeros. That place and company change nothing is tried with
    examples before the first use; a network that fails gets one input at a time.

    Args:
        embedding: the settings.
        shape: of one input, (frames, H, W) or (frames, H, W, 3).

    Attributes:
        dimensions: numbers of one vector.
        network: maps prepared pictures, of the full width, to features: torch's module, compiled or not, or OpenVINO's.
        notes: what a reader of the vectors should know.

    Raises InvalidInput for a device or compiler that is not there, weights that do not fit, and a network that does
    not take the pictures or gives other vectors than `features` says.
    """

    def __init__(self, embedding: Embedding, shape: tuple[int, ...]) -> None:
        import torch

        self._settings, self._shape, self._picture = embedding, shape, embedding.prepared()
        self.dimensions = embedding.dimensions
        self.notes: list[str] = []
        self._check_machine()
        self._device, self._dtype = torch.device(embedding.device), getattr(torch, embedding.dtype)
        self._order = torch.channels_last
        if embedding.engine == "openvino":  # it takes float32 and rounds by itself
            self._dtype, self._order = torch.float32, torch.contiguous_format
        module = load(embedding.network, embedding.weights, embedding.seed).eval()
        module.requires_grad_(False)
        module = module.to(self._device, self._dtype)
        module = module.to(memory_format=self._order)  # type: ignore[call-overload]  # torch lacks this overload
        self.network: Callable[[torch.Tensor], Any] = module
        if embedding.engine == "compiled":
            self.network = torch.compile(module, dynamic=False, options={"freezing": True})
        elif embedding.engine == "openvino":
            self.network = OpenVinoNetwork(module, embedding.dtype)
        self._width = WIDTHS[embedding.device_class]
        self._try()

    def memory(self, count: int) -> torch.Tensor:
        """An uninitialised uint8 tensor (count, *shape) for the caller to fill: one that the device reads quickly."""
        import torch

        return torch.empty((count, *self._shape), dtype=torch.uint8, pin_memory=self._device.type == "cuda")

    def start(self, inputs: torch.Tensor) -> Callable[[], Float32[np.ndarray, "n d"]]:
        """Begin with uint8 inputs (n, *shape); a GPU goes on by itself. Call the result for vectors (n, d) float32."""
        import torch

        if len(inputs) == 0:
            return lambda: np.empty((0, self._settings.dimensions), np.float32)
        with self.exact():
            there = inputs.to(self._device, non_blocking=True)
            found = torch.cat([self._batch(there[i : i + self._width]) for i in range(0, len(there), self._width)])
            if self._device.type == "cpu":
                return found.numpy
            # The copy is ordered now: asked for later, it would wait for the next block's work, too.
            here = torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
            here.copy_(found, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types for it
            copied.record()

        def wait() -> Float32[np.ndarray, "n d"]:
            copied.synchronize()
            return here.numpy()

        return wait

    def _batch(self, inputs: torch.Tensor) -> torch.Tensor:
        import torch

        count = len(inputs)
        if count < self._width:
            inputs = torch.cat([inputs, inputs.new_zeros((self._width - count, *self._shape))])
        return self._vectors(inputs)[:count, : self._settings.dimensions]

    def _vectors(self, inputs: torch.Tensor) -> torch.Tensor:
        """(width, numbers of a vector) float32, of a full batch on the device."""
        import torch

        pictures = prepare(inputs, self._settings.layout, self._picture)
        found = self.network(pictures.to(self._dtype).contiguous(memory_format=self._order))
        if not isinstance(found, torch.Tensor):
            raise InvalidInput(
                f"{self._settings.name} must give one tensor (b, features); it gives {type(found).__name__}."
            )
        return found.float().reshape(len(inputs), -1)

    def _check_machine(self) -> None:
        import torch

        settings, lacks = self._settings, missing_tools(self._settings.device_class)
        if settings.device_class == "cuda":
            there = torch.cuda.device_count() if torch.cuda.is_available() else 0
            number = int(settings.device.partition(":")[2] or 0)
            if number >= there:
                raise InvalidInput(
                    f"embedding.device={settings.device}, but torch {torch.__version__} finds {there} GPUs here. "
                    f"Install a torch with CUDA, or compute without: {again(embedding__device='cpu')}"
                )
        if settings.compile is True and lacks:
            raise InvalidInput(f"embedding.compile=true, but this machine lacks {lacks}. Leave it at auto, or false.")
        if settings.compile == "auto" and lacks:
            self.notes.append(f"The network was not compiled, because this machine lacks {lacks}.")

    def _try(self) -> None:
        """Run examples: does the network work, and do a row's bits depend on the row alone?"""
        import torch

        rng = np.random.default_rng(0)
        examples = rng.integers(0, 256, (self._width, *self._shape), np.uint8)
        vectors = self._first(torch.from_numpy(examples))

        def run(rows: Mapping[str, UInt8[np.ndarray, "n ..."]]) -> list[Float32[np.ndarray, "n d"]]:
            return [self.start(torch.from_numpy(rows["pictures"]).clone())()]

        backwards = range(self._width - 1, -1, -1)
        if rows_stand_alone(run, {"pictures": examples}, [backwards], [vectors]):
            return
        self._width = 1
        self.notes.append(
            "The network rounds an input by its place in the batch or by the others in it, so it saw one at a time."
        )

    def _first(self, examples: torch.Tensor) -> Float32[np.ndarray, "n d"]:
        """Their vectors. Raises InvalidInput where the network cannot take them, or gives something else."""
        settings, wanted = self._settings, self._settings.all_dimensions
        try:
            with self.exact():
                found = self._vectors(examples.to(self._device))
        except InvalidInput:
            raise
        except Exception as error:  # a module of the user's, and torch's compiler, raise whatever they come upon
            hint = "" if settings.engine == "eager" else " As torch runs it by itself: embedding.compile=false"
            raise InvalidInput(
                f"{settings.name} ({settings.engine}, {settings.dtype}, {settings.device}) does not take inputs of "
                f"shape {self._shape}: {last_line(error)}{hint}"
            ) from error
        if found.shape[1] != wanted:
            raise InvalidInput(
                f"{settings.name} gives {found.shape[1]} numbers for an input of shape {self._shape}, {wanted} were "
                "expected. Say how many it gives for one picture: embedding.features=N"
            )
        return found[:, : self.dimensions].cpu().numpy()

    @contextmanager
    def exact(self) -> Iterator[None]:
        """No gradients; on a GPU full float32 instead of TF32, and algorithms that give the same bits each time."""
        import torch

        with torch.inference_mode():
            if self._device.type == "cpu":
                yield
                return
            before = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = False
            try:
                with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                    yield
            finally:
                torch.backends.cuda.matmul.allow_tf32 = before
