"""Fetching: the bins come back byte for byte, or an error says why not."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import constants

from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, HubError, InvalidInput, UnknownName
from pipeline.hub.connection import Hub
from pipeline.hub.fetch import offered
from stages import catalog, gc, verify
from tests.conftest import toy_domain
from tests.stages.hub.conftest import (
    REPO,
    ROOT,
    TASKS,
    bins_of,
    content,
    description,
    fetched,
    published,
    python,
    shapes,
)

INTEGERS = ("indices", "discrete_actions", "discrete_observations")


def parquet(columns):
    """One parquet file of nested lists, as another writer would make it."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: _nested(array) for name, array in columns.items()}), sink, row_group_size=7)
    return sink.getvalue().to_pybytes()


def _nested(array):
    kind = pa.from_numpy_dtype(array.dtype)
    for _ in array.shape[1:]:
        kind = pa.list_(kind)
    return pa.array(array.tolist(), kind)


def arrays(bins, **dtypes):
    files, found = content(bins), shapes(bins)
    stored = {key: "<i4" if key in INTEGERS else "<f4" for key in found}
    return {
        key: np.frombuffer(files[f"{key}.bin"], stored[key]).reshape(shape).astype(dtypes.get(key, stored[key]))
        for key, shape in found.items()
    }


def put_as_upstream(server, columns):
    """The layout of REGENT's authors: two configurations, one shard each, and nothing else."""
    server.create(REPO)
    subset = {key: array for key, array in columns.items() if key not in ("distances", "indices")}
    newdata = {key: array for key, array in columns.items() if key in ("distances", "indices")}
    parts = {"subset": subset, "newdata": newdata}
    server.put(
        REPO, {f"toy-corner_{kind}/train-00000-of-00001.parquet": parquet(part) for kind, part in parts.items() if part}
    )


@pytest.mark.slow
def test_the_commands_of_the_card_read_every_configuration_and_bring_back_every_byte(home, server, tmp_path):
    published(home, server)
    readme = server.content(REPO, "README.md").decode()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    (words,) = re.findall(r"```\npython run.py (.*?)\n```", readme)
    configs = [entry["config_name"] for entry in yaml.safe_load(readme.split("---\n")[1])["configs"]]
    code += f"for name in {configs}:\n    data = load_dataset('{REPO}', name, split='train')\n"
    code += "    print(name, data.num_rows, *sorted(data.features))\n"
    text = python(["-c", code], server, tmp_path)
    for task in TASKS:
        for config in description(server, task)["configs"]:
            assert f"{config['config']} {config['rows']} {' '.join(sorted(config['columns']))}\n" in text
    there = Workspace(str(tmp_path / "there"))
    words = words.replace("task=corner", "").split()  # unset: all that the repository has
    text = python([str(ROOT / "run.py"), *words, f"paths.root={tmp_path / 'there'}"], server, tmp_path)
    for task in TASKS:
        assert f"fetch toy/{task} built" in text
        assert content(bins_of(there, task)) == content(bins_of(home, task))
        assert bins_of(there, task).manifest.digest == bins_of(home, task).manifest.digest
        assert bins_of(there, task).manifest.counts["states"] == bins_of(home, task).manifest.counts["states"]
    verify.run(domain=None, only=None, workspace=there, audit=None, workers=1)
    catalog.run(domain=None, only=None, workspace=there)
    gc.run(domain=None, only=None, workspace=there, delete=True)
    assert bins_of(there)


def test_dropped_connections_are_taken_up_where_they_broke(home, server, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
    published(home, server, ["corner"])
    faults = [
        server.fail("GET /cdn/", 0, after=1000),
        server.fail("GET /cdn/", 503, headers={"Retry-After": "0"}),
        server.fail("GET /cdn/", 0, after=100, reset=True),
        server.fail("GET /api/datasets/.*/revision/main", 500, headers={"Retry-After": "0"}),
    ]
    assert content(fetched(server, tmp_path / "there")) == content(bins_of(home))
    assert [fault.times for fault in faults] == [0] * 4
    assert "bytes=1000-" in {asked for _, _, asked in server.log}  # 503 and resets begin anew


def test_a_second_fetch_finds_its_bins_whatever_else_is_committed(home, server, tmp_path):
    published(home, server, ["corner"])
    first = fetched(server, tmp_path / "there")
    published(home, server)
    before = len(server.requests("GET /cdn/"))
    again = fetched(server, tmp_path / "there")
    assert (first.built, again.built, again.path) == (True, False, first.path)
    assert len(server.requests("GET /cdn/")) == before
    assert fetched(server, tmp_path / "there", force=True).built


def test_a_task_that_is_not_there_lists_those_that_are(home, server, tmp_path):
    published(home, server)
    with pytest.raises(UnknownName, match="no toy-maze_subset and no toy-maze_newdata. Its tasks: toy-corner, toy-key"):
        fetched(server, tmp_path, "maze")
    assert offered(toy_domain(), Hub(REPO, endpoint=server.url)) == TASKS
    with pytest.raises(HubError, match="no branch, tag or commit v9"):
        fetched(server, tmp_path, revision="v9")
    with pytest.raises(HubError, match="no such dataset repository"):
        fetched(server, tmp_path, repo_id="me/other")
    with pytest.raises(InvalidInput, match="hub.repo_id=OWNER/NAME"):
        fetched(server, tmp_path, repo_id=None)


def test_a_private_repository_asks_for_a_token(home, server, tmp_path, monkeypatch):
    published(home, server)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="no such dataset repository is public. There is no token"):
        fetched(server, tmp_path)


def test_a_file_that_comes_damaged_comes_anew_and_the_others_are_kept(home, server, tmp_path):
    published(home, server, ["corner"])
    path = sorted(path for path in server.files(REPO) if path.startswith("toy-corner_subset/"))[1]
    stored = server.folder / server.files(REPO)[path].checksum
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(DamagedArtifact, match=f"{path} of .* other bytes"):
        fetched(server, tmp_path / "there")
    stored.write_bytes(whole)
    before = len(server.requests("GET /cdn/"))
    assert content(fetched(server, tmp_path / "there")) == content(bins_of(home))
    assert len(server.requests("GET /cdn/")) == before + 1


def test_files_that_do_not_belong_together_are_refused(home, server, tmp_path):
    published(home, server, ["corner"])
    path = next(path for path in server.files(REPO) if path.startswith("toy-corner_newdata/"))
    rows = pq.read_table(pa.BufferReader(server.content(REPO, path)))
    sink = pa.BufferOutputStream()
    pq.write_table(rows.take(list(range(len(rows)))[::-1]), sink)
    server.put(REPO, {path: sink.getvalue().to_pybytes()})
    with pytest.raises(DamagedArtifact, match=r"distances.bin, indices.bin of toy-corner are not what"):
        fetched(server, tmp_path / "there")
    server.put(REPO, {}, remove=(path,))
    with pytest.raises(DamagedArtifact, match="do not make one whole"):
        fetched(server, tmp_path / "there")


def test_a_repository_of_regents_authors_is_read_by_its_parquet_files_alone(home, server, tmp_path):
    put_as_upstream(server, arrays(bins_of(home), indices="<i8", rewards="<f8"))
    bins = fetched(server, tmp_path / "there")
    mine, theirs = content(bins_of(home)), content(bins)
    assert json.loads(theirs.pop("shapes.json")) == json.loads(mine.pop("shapes.json"))
    assert theirs == mine
    warnings = "\n".join(bins.manifest.warnings)
    assert (
        "no description of this task: shapes.json, dist_stats.json, all_row_idxs_lookup-5demos.json were made"
        in warnings
    )
    assert "indices is int64 in the repository, int32 here" in warnings


def test_the_lookup_of_other_rows_comes_from_the_indices_and_pictures_stay_away(home, server, tmp_path):
    columns = arrays(bins_of(home))
    moved = columns["indices"].copy()
    moved[:, :, 0] = 3 * moved[:, :, 0] + 5
    pictures = np.zeros((len(columns["rewards"]), 2, 3), np.float32)
    put_as_upstream(server, columns | {"indices": moved, "image_observations": pictures})
    files = content(fetched(server, tmp_path / "there"))
    rows = len(columns["rewards"])
    assert json.loads(files["all_row_idxs_lookup-5demos.json"]) == {str(3 * row + 5): row for row in range(rows)}
    assert "image_observations.bin" not in files
    assert "image_observations" not in json.loads(files["shapes.json"])


def test_distances_alone_are_enough(home, server, tmp_path):
    put_as_upstream(server, {"distances": arrays(bins_of(home))["distances"]})
    files = content(fetched(server, tmp_path / "there"))
    assert set(files) == {"distances.bin", "dist_stats.json", "shapes.json"}
    assert files["dist_stats.json"] == content(bins_of(home))["dist_stats.json"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"../../escaped": np.zeros((4, 2), np.float32)}, "names a file '../../escaped'"),
        ({"indices": np.full((4, 20, 2), 2**40)}, "beyond 32 bits"),
    ],
)
def test_what_cannot_be_a_bin_file_is_refused(server, tmp_path, columns, message):
    server.create(REPO)
    server.put(REPO, {"toy-corner_newdata/train-00000-of-00001.parquet": parquet(columns)})
    with pytest.raises(InvalidInput, match=message):
        fetched(server, tmp_path / "there")
    assert not list(tmp_path.rglob("escaped*"))


def test_a_description_of_a_later_program_is_named(home, server, tmp_path):
    published(home, server, ["corner"])
    facts = description(server) | {"format": 99}
    server.put(REPO, {"regent/toy-corner/published.json": json.dumps(facts).encode()})
    with pytest.raises(InvalidInput, match="is of a later program"):
        fetched(server, tmp_path)


def test_pictures_that_were_published_stay_away_and_the_shapes_say_so(home, server, tmp_path):
    published(home, server, ["corner"])
    facts = description(server)
    facts["bins"]["arrays"].append({"name": "image_observations", "shape": [3, 8], "dtype": "float32", "unit": ""})
    facts["bins"]["files"]["image_observations.bin"] = {"size": 96, "blake3": "0"}
    listed_tasks = shapes(bins_of(home)) | {"image_observations": [3, 8]}
    small = {"published.json": facts, "shapes.json": listed_tasks}
    server.put(REPO, {f"regent/toy-corner/{name}": json.dumps(value).encode() for name, value in small.items()})
    bins = fetched(server, tmp_path / "there")
    assert content(bins).keys() == content(bins_of(home)).keys()
    assert json.loads(content(bins)["shapes.json"]) == shapes(bins_of(home))
    assert "is not brought back" in "\n".join(bins.manifest.warnings)
