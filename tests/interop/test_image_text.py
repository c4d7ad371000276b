"""What reads an export for image-text trainers: the datasets of NeMo Automodel, BAGEL and ThinkMorph, and Hugging Face.

BAGEL and ThinkMorph are no packages: BAGEL_REPOSITORY and THINKMORPH_REPOSITORY name the folders of a clone.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.formats.image_text.bagel import BagelFormat
from pipeline.formats.image_text.thinkmorph import ThinkMorphFormat
from pipeline.formats.image_text.trainer import TrainerFormat
from tests.contracts.format import exported
from tests.interop.side import ROOT, run_by, side_python
from tests.pictures import drawn_dataset

pytestmark = pytest.mark.interop

LENGTHS = [*([26] * 16), 1, 8, 9]
"""Transitions of episodes; more than 64 rows in both forms."""

SETUPS = [(8, 1), (8, 4), (8, 8)]
NEMO = "nemo_automodel.components.datasets.multimodal"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image-text")
    drawn_dataset(folder, LENGTHS, (160, 210))
    return folder


def lay(store: Path, form: TrainerFormat, place: Path) -> Path:
    exported(form, Workspace(str(store), "bin"), out=str(place))
    return place


def by_trainer(project, repository, classes, transforms, place, setups):
    """Row groups of the poorest worker; of one pass with the last setup samples, the longest one, and texts."""
    import json
    import sys
    from importlib import import_module
    from pathlib import Path
    from types import SimpleNamespace

    import numpy as np
    import pyarrow.parquet as pq
    import yaml

    sys.path[:0] = [project, *([repository] if repository else [])]
    from pipeline.embedding.torchvision_import import torchvision

    torchvision()
    import torch

    texts = set()

    def encode(text):
        assert type(text) is str, type(text)
        texts.add(text)
        return list(text.encode())

    group = yaml.safe_load((Path(place) / "bagel.yaml").read_text())["unified_edit"]
    info_path = Path(place) / "parquet_info.json"
    scale = import_module(transforms).ImageTransform
    settings = {
        "transform": scale(**group["image_transform_args"]),
        "vit_transform": scale(**group["vit_image_transform_args"]),
        "tokenizer": SimpleNamespace(encode=encode),
        "data_dir_list": [str(Path(place) / "data")],
        "num_used_data": group["num_used_data"],
        "parquet_info": json.loads(info_path.read_text()),
    }
    kind = import_module(classes).UnifiedEditIterableDataset
    samples, poorest, tokens, repeated = set(), [], 0, 0
    for gpus, workers in setups:
        for gpu in range(gpus):
            dataset = kind(dataset_name="toy", local_rank=gpu, world_size=gpus, num_workers=workers, **settings)
            for worker in range(workers):
                torch.utils.data._utils.worker._worker_info = SimpleNamespace(id=worker, num_workers=workers)
                units, _ = dataset.get_data_paths_per_worker()
                poorest.append(len(units))
                if (gpus, workers) != tuple(setups[-1]):
                    continue
                rows = sum(pq.read_metadata(path).row_group(number).num_rows for path, number in units)
                reading = iter(dataset)
                for _ in range(rows):
                    sample = next(reading)
                    seen = (gpu, worker, *sample["data_indexes"]["data_indexes"])
                    repeated += seen in samples
                    samples.add(seen)
                    tokens = max(tokens, sample["num_tokens"] + 2 * len(sample["sequence_plan"]))
    counts = {"samples": len(samples), "poorest": min(poorest), "tokens": tokens, "repeated": repeated}
    return {**{name: np.asarray(value) for name, value in counts.items()}, "texts": np.asarray(sorted(texts))}


def read(python: Path, repository: str, classes: str, transforms: str, place: Path) -> dict[str, np.ndarray]:
    return run_by(python, by_trainer, ROOT, repository, classes, transforms, place, SETUPS)


def rows_in(place: Path) -> int:
    return sum(each["num_rows"] for each in json.loads((place / "parquet_info.json").read_text()).values())


def check(found: dict[str, np.ndarray], place: Path, texts: set[str]) -> None:
    assert int(found["samples"]) == rows_in(place)
    assert int(found["repeated"]) == 0  # a row that is skipped is made up for by one of the next pass
    assert int(found["poorest"]) >= 1
    assert int(found["tokens"]) < 16384
    assert set(found["texts"].tolist()) == texts


def bagel_texts(names: tuple[str, ...]) -> set[str]:
    return {*names, *(f"{name}." for name in names), *(f"{one}. {two}." for one in names for two in names)}


def repository(name: str) -> str:
    """The folder of a clone. Skips the test where nobody names one."""
    folder = os.environ.get(name, "")
    if not (Path(folder) / "data" / "interleave_datasets").is_dir():
        pytest.skip(f"{name} names no clone with the folder data/interleave_datasets")
    return str(Path(folder).resolve())


def test_nemo_reads_every_row_on_each_number_of_workers(store: Path, tmp_path: Path):
    place = lay(store, BagelFormat(), tmp_path / "out")
    found = read(side_python("nemo"), "", f"{NEMO}.interleave", f"{NEMO}.transforms", place)
    check(found, place, set(found["texts"].tolist()) & bagel_texts(("noop", "fire", "up", "right")))


def test_bagel_reads_every_row_on_each_number_of_workers(store: Path, tmp_path: Path):
    folder = repository("BAGEL_REPOSITORY")
    place = lay(store, BagelFormat(), tmp_path / "out")
    found = read(Path(sys.executable), folder, "data.interleave_datasets.edit_dataset", "data.transforms", place)
    check(found, place, set(found["texts"].tolist()) & bagel_texts(("noop", "fire", "up", "right")))


def test_thinkmorph_reads_every_row_on_each_number_of_workers(store: Path, tmp_path: Path):
    folder = repository("THINKMORPH_REPOSITORY")
    place = lay(store, ThinkMorphFormat(), tmp_path / "out")
    found = read(Path(sys.executable), folder, "data.interleave_datasets.edit_dataset", "data.transforms", place)
    prompt = "Toy Corner Environment (randomness=0.0). Actions: noop, fire, up, right."
    check(found, place, {prompt, "noop", "fire", "up", "right"})


def test_nemo_is_configured_by_what_the_page_says(store: Path, tmp_path: Path):
    place = lay(store, BagelFormat(), tmp_path / "out")
    found = run_by(side_python("nemo"), packed_by_nemo, ROOT, place)
    assert found["lengths"].min() > 16384
    assert int(found["dropped"]) == 0


def packed_by_nemo(project, place):
    """A few packed sequences by NeMo's own packer, with the settings of TRAIN.md."""
    import re
    import sys
    from pathlib import Path
    from types import SimpleNamespace

    import numpy as np
    import yaml

    sys.path.insert(0, project)
    from pipeline.embedding.torchvision_import import torchvision

    torchvision()
    from nemo_automodel.components.datasets.multimodal import BagelDatasetConfig, PackedDataset

    blocks = re.findall(r"```yaml\n(.*?)```", (Path(place) / "TRAIN.md").read_text(), re.DOTALL)
    said = next(yaml.safe_load(block) for block in blocks if block.startswith("dataset:"))["dataset"]
    packed = PackedDataset(
        BagelDatasetConfig(grouped_datasets=said["grouped_datasets"], max_latent_size=said["max_latent_size"]),
        SimpleNamespace(encode=lambda text: list(text.encode())),
        {"bos_token_id": 1, "eos_token_id": 2, "start_of_image": 3, "end_of_image": 4},
        local_rank=0,
        world_size=1,
        num_workers=1,
        max_num_tokens_per_sample=said["max_num_tokens_per_sample"],
        dataset_info=said["dataset_info"],
    )
    packed.set_epoch(42)
    found = [each["sequence_length"] for each, _ in zip(packed, range(3), strict=False)]
    dropped = sum(packed._drop_counters.values()) + sum(packed.grouped_datasets[0]._drop_counters.values())
    return {"lengths": np.asarray(found), "dropped": np.asarray(dropped)}


def by_datasets(place):
    """The rows as Hugging Face's library gives them: sizes and numbers of pictures, and texts."""
    import json
    import tempfile

    import datasets
    import numpy as np

    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset(place, split="train", cache_dir=cache)
        picture = rows[0]["image_list"][1]
        columns = {name: rows[0][name] for name in rows.column_names if name != "image_list"}
        return {
            "version": np.asarray(datasets.__version__),
            "rows": np.asarray(len(rows)),
            "size": np.asarray(picture.size),
            "corner": np.asarray(picture)[0, 0],
            "first": np.asarray(json.dumps(columns)),
        }


@pytest.mark.parametrize("form", [BagelFormat, ThinkMorphFormat])
@pytest.mark.parametrize("version", ["3.6", "5"])
def test_hugging_face_decodes_the_pictures_of_the_folder(store: Path, tmp_path: Path, form, version: str):
    place = lay(store, form(), tmp_path / "out")
    python = side_python("datasets36") if version == "3.6" else Path(sys.executable)
    found = run_by(python, by_datasets, place)
    assert str(found["version"]).startswith(version if version == "3.6" else "")
    assert int(found["rows"]) == rows_in(place)
    assert found["size"].tolist() == [160, 210]
    assert found["corner"].tolist() == [0, 0, 1]
    first = json.loads(str(found["first"]))
    assert (first["environment"], first["episode"], first["first_step"]) == ("toy_corner", "episode_000_rand0.0", 0)
    if form is BagelFormat:
        assert all(type(text) is str for wordings in first["instruction_list"] for text in wordings)
    else:
        assert len(first["output_text_list"]) == 4
