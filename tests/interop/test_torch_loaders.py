"""PyTorch training loops read what we write: memory-mapped bins and streamed parquet, in worker processes."""

import json

import datasets
import numpy as np
import pytest

from pipeline.regent.chain import bins_name
from tests.conftest import derived

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.interop


class Contexts(torch.utils.data.Dataset):
    """One context a state, gathered from memory maps as REGENT's training does."""

    def __init__(self, folder, lookup):
        shapes = json.loads((folder / "shapes.json").read_text())
        self.lookup = {int(key): value for key, value in json.loads((folder / lookup).read_text()).items()}
        types = {"distances": "<f4", "indices": "<i4", "continuous_observations": "<f4", "rewards": "<f4"}
        self.maps = {k: np.memmap(folder / f"{k}.bin", t, "r", shape=tuple(shapes[k])) for k, t in types.items()}

    def __len__(self):
        return len(self.maps["indices"])

    def __getitem__(self, item):
        rows, columns = self.maps["indices"][item].T
        rows = np.array([self.lookup[row] for row in rows])
        return self.maps["continuous_observations"][rows, columns], self.maps["distances"][item].copy()


def test_a_data_loader_with_workers_reads_the_bins(made):
    toy, workspace = made
    bins = derived(toy, workspace)["bins"]
    data = Contexts(bins.path / bins_name(bins), "all_row_idxs_lookup-5demos.json")
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2)
    count = 0
    for observations, distances in loader:
        first = torch.linalg.vector_norm(observations.double() - observations[:, :1].double(), dim=2)
        torch.testing.assert_close(first.float(), distances)
        count += len(distances)
    assert count == len(data)


def test_streaming_parquet_gives_torch_tensors(made):
    toy, workspace = made
    artifacts = derived(toy, workspace)
    folder = artifacts["parquet"].path / "data"
    stream = datasets.load_dataset(str(folder), "toy-corner_newdata", split="train", streaming=True)
    rows = [row["distances"] for row in stream.with_format("torch")]
    bins = artifacts["bins"]
    wanted = np.fromfile(bins.path / bins_name(bins) / "distances.bin", "<f4").reshape(-1, 20)
    np.testing.assert_array_equal(torch.stack(rows).numpy(), wanted)
