"""Minari sets as its version 0.5.4 lays them out, written with h5py and pyarrow alone."""

import json
from io import BytesIO

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

BOX = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-1.0] * 3, "high": [1.0] * 3}
PICTURE = {
    "type": "Box", "dtype": "uint8", "shape": [32, 40, 3],
    "low": np.zeros((32, 40, 3), int).tolist(), "high": np.full((32, 40, 3), 255).tolist(),
}  # fmt: skip
CHOICE = {"type": "Discrete", "dtype": "int64", "start": 0, "n": 4}


def metadata(lengths, data_format="hdf5", **changed):
    """The facts of a set with episodes of these lengths; a change to None leaves one out."""
    facts = {
        "total_episodes": len(lengths),
        "total_steps": sum(lengths),
        "data_format": data_format,
        "jpeg_encoding": True,
        "observation_space": json.dumps(BOX),
        "action_space": json.dumps(CHOICE),
        "dataset_id": "made/set-v0",
        "minari_version": "0.5.4",
    }
    return {name: value for name, value in {**facts, **changed}.items() if value is not None}


def arrays(length, seed=0):
    """observations, actions, rewards, terminations, truncations, and an info of T+1 rows."""
    rng = np.random.default_rng(seed)
    ends = np.zeros(length, bool)
    ends[-1:] = True
    return {
        "observations": rng.normal(size=(length + 1, 3)).astype(np.float32),
        "actions": rng.integers(0, 4, length),
        "rewards": rng.normal(size=length),
        "terminations": ends if seed % 2 else np.zeros_like(ends),
        "truncations": np.zeros_like(ends) if seed % 2 else ends,
        "infos/speed": rng.normal(size=length + 1),
    }


def write_metadata(folder, facts):
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "metadata.json").write_text(json.dumps(facts))


def write_hdf5(folder, episodes, ids=None, attributes=None, **changed):
    """A set of HDF5 layout; `episodes` are mappings of arrays by their paths."""
    lengths = [len(each["rewards"]) for each in episodes]
    write_metadata(folder, metadata(lengths, **changed))
    with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
        for number, episode in zip(ids or range(len(episodes)), episodes, strict=True):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(episode["rewards"]), **(attributes or {})})
            for path, array in episode.items():
                group.create_dataset(path, data=array, chunks=np.size(array) > 0 or None)


def write_tables(folder, episodes, data_format="arrow", **changed):
    """A set of Arrow or Parquet layout, of flat observations."""
    lengths = [len(each["rewards"]) for each in episodes]
    write_metadata(folder, metadata(lengths, data_format, **changed))
    for number, episode in enumerate(episodes):
        place = folder / "data" / str(number)
        place.mkdir()
        (place / "metadata.json").write_text(json.dumps({"id": number, "total_steps": lengths[number], "seed": 7}))
        padded = {key: np.append(each, np.zeros(1, each.dtype)) for key, each in episode.items() if each.ndim == 1}
        speed = pa.FixedSizeListArray.from_arrays(pa.array(episode["infos/speed"]), 1)
        field = pa.field("speed", speed.type, metadata={"shape": ""})
        table = pa.table(
            {
                "observations": pa.FixedSizeListArray.from_arrays(pa.array(episode["observations"].ravel()), 3),
                **{name: padded[name] for name in ("actions", "rewards", "terminations", "truncations")},
                "infos": pa.StructArray.from_arrays([speed], fields=[field]),
            }
        )
        if data_format == "arrow":
            with pa.ipc.new_file(str(place / "part-0.arrow"), table.schema) as writer:
                writer.write_table(table)
        else:
            pq.write_table(table, place / "part-0.parquet")


def jpegs(pictures):
    """Each picture as the bytes of a JPEG."""
    out = []
    for picture in pictures:
        Image.fromarray(picture).save(buffer := BytesIO(), format="JPEG")
        out.append(np.frombuffer(buffer.getvalue(), np.uint8))
    return out


def write_pictures(folder, lengths, shape=(32, 40, 3)):
    """HDF5 with a JPEG a row, of different lengths."""
    episodes = [arrays(length, seed) for seed, length in enumerate(lengths)]
    pictures = []
    for seed, (length, episode) in enumerate(zip(lengths, episodes, strict=True)):
        rng = np.random.default_rng(seed)
        pictures.append(rng.integers(0, 256, (length + 1, *shape), np.uint8))
        del episode["observations"]
    write_hdf5(folder, episodes, observation_space=json.dumps(PICTURE))
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        for number, each in enumerate(pictures):
            rows = jpegs(each)
            made = file[f"episode_{number}"].create_dataset("observations", len(rows), h5py.vlen_dtype(np.uint8))
            for row, picture in enumerate(rows):
                made[row] = picture
