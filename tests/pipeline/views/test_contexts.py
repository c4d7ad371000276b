"""REGENT's training items, against plain loops over the bins."""

import json
import math
import pickle
import re

import numpy as np
import pytest
import torch

from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.views.contexts import Contexts, soft_logits, split
from pipeline.views.loader import Loader
from pipeline.views.mixture import Mixture

ROWS, WIDTH, STATES = 6, 4, 17


@pytest.fixture(params=["continuous", "discrete", "atari"])
def folder(request, tmp_path, rng):
    """Made bins whose rows stand in other places than their numbers say, as BabyAI's do."""
    dataset_rows = np.array([3, 4, 9, 10, 15, 30])
    where = np.array([(r, c) for r in range(ROWS) for c in range(WIDTH)][:STATES])
    picked = rng.integers(0, STATES, (STATES, 20))
    picked[:, 19] = np.arange(STATES)
    places = where[picked]
    indices = np.stack([dataset_rows[places[..., 0]], places[..., 1]], axis=-1)
    arrays = {
        "rewards": rng.normal(size=(ROWS, WIDTH)).astype("<f4"),
        "distances": np.abs(rng.normal(size=(STATES, 20))).astype("<f4"),
        "indices": indices.astype("<i4"),
    }
    arrays["distances"][:, 0] = 0
    if request.param == "continuous":
        arrays["continuous_observations"] = rng.normal(size=(ROWS, WIDTH, 5)).astype("<f4")
        arrays["continuous_actions"] = rng.normal(size=(ROWS, WIDTH, 2)).astype("<f4")
    elif request.param == "discrete":
        arrays["discrete_observations"] = rng.integers(0, 9, (ROWS, WIDTH, 7)).astype("<i4")
        arrays["discrete_actions"] = rng.integers(0, 7, (ROWS, WIDTH)).astype("<i4")
    else:
        arrays["embeddings_resnet18_512"] = rng.normal(size=(ROWS, WIDTH, 8)).astype("<f4")
        arrays["discrete_actions"] = rng.integers(0, 6, (ROWS, WIDTH)).astype("<i4")
    for name, array in arrays.items():
        array.tofile(tmp_path / f"{name}.bin")
    (tmp_path / "shapes.json").write_text(json.dumps({name: list(a.shape) for name, a in arrays.items()}))
    lookup = {str(row): place for place, row in enumerate(dataset_rows.tolist())}
    (tmp_path / "all_row_idxs_lookup-5demos.json").write_text(json.dumps(lookup))
    return request.param, tmp_path, arrays, lookup


PONG = (0, 1, 3, 4, 11, 12)


def test_items_are_what_plain_loops_gather(folder):
    kind, path, arrays, lookup = folder
    contexts = Contexts(path, PONG if kind == "atari" else None)
    p95 = np.float32(np.percentile(arrays["distances"].astype(np.float64), 95))
    assert len(contexts) == STATES
    for i in range(STATES):
        item = contexts[i]
        seen, acted, rewards = [], [], []
        for row, column in arrays["indices"][i].tolist():
            place = lookup[str(row)]
            name = next(n for n in arrays if "observations" in n or "embeddings" in n)
            seen.append(arrays[name][place, column])
            acted.append(arrays[next(n for n in arrays if n.endswith("actions"))][place, column])
            rewards.append(arrays["rewards"][place, column])
        observed = "discrete_observations" if kind == "discrete" else "continuous_observations"
        np.testing.assert_array_equal(item[observed], np.array(seen))
        np.testing.assert_array_equal(item["rewards"], rewards)
        distances = [np.float32(d) / p95 for d in arrays["distances"][i]]
        wanted = [[math.exp(-10 * float(d))] for d in distances]
        np.testing.assert_allclose(item["exp_lamda_distances"], wanted, rtol=1e-5, atol=1e-12)
        assert item["exp_lamda_distances"].dtype == torch.float32
        assert item["attention_mask"].tolist() == [1] * 20
        assert item["loss_weight"].tolist() == [1.0] * 20
        if kind == "continuous":
            np.testing.assert_array_equal(item["continuous_actions"], np.array(acted))
            np.testing.assert_array_equal(item["continuous_RandP_actions"], np.array([acted[0]] * 20))
            continue
        acted = [PONG[a] for a in acted] if kind == "atari" else [int(a) for a in acted]
        assert item["discrete_actions"].tolist() == acted
        logits = [[min(max(d, 0), 1) / 18] * 18 for d in distances]
        for row, d in zip(logits, distances, strict=True):
            row[acted[0]] = (1 + 17 * (1 - min(max(d, 0), 1))) / 18
        np.testing.assert_allclose(item["discrete_RandP_action_logits"], np.array(logits), rtol=1e-5)


def test_an_index_that_is_no_whole_number_is_refused(folder):
    with pytest.raises(TypeError, match="integer"):
        Contexts(folder[1])[1.5]


def test_it_shows_how_many_items_of_what_it_has(folder):
    contexts = Contexts(folder[1])
    assert re.search(
        rf": {len(contexts):,} items of (\w+_observations|embeddings_\w+) and \w+_actions\)", repr(contexts)
    )


def test_artifacts_other_than_bins_are_refused(prepared):
    root, _ = prepared
    with pytest.raises(InvalidInput, match="are read from bins; .* is of the kind retrieval"):
        Contexts.of(Workspace(str(root)).find("retrieval", "toy/corner"))
    with pytest.raises(InvalidInput, match=r"from bins, such as workspace\.find\('bins', .*toy/corner.* is none"):
        Contexts.of(Workspace(str(root))["toy/corner/scripted-v1"])


def test_a_copy_for_a_worker_has_no_open_file_and_the_same_items(folder):
    _, path, _, _ = folder
    contexts = Contexts(path)
    wanted = contexts[0]
    sent = pickle.dumps(contexts)
    assert b"memmap" not in sent
    for name, column in pickle.loads(sent)[0].items():
        torch.testing.assert_close(column, wanted[name])


def test_soft_logits_add_up_to_one():
    logits = soft_logits(np.array([0, 17]), np.array([[0.0, 0.3, 1.0, 2.5]] * 2))
    np.testing.assert_allclose(logits.sum(axis=-1), 1, rtol=1e-6)
    assert logits[1, 0].tolist() == [0] * 17 + [1]  # at no distance, the retrieved action alone


def test_the_published_number_of_training_steps_follows_from_the_split():
    """REGENT trains 27,726 steps of 512 items; Meta-World's 45 tasks of 100,000 states are part of them."""
    training, evaluation = split(100_000, unseen=False)
    assert (training, evaluation) == (range(97_792), range(98_000, 98_000 + 1_792))
    assert split(10_000, unseen=True) == (range(9_984), range(10_000, 10_000))
    assert split(1_000, unseen=False) == (range(0), range(768))


def test_what_does_not_fit_together_is_said(folder):
    _, path, _, _ = folder
    (path / "rewards.bin").write_bytes(b"")
    with pytest.raises(DamagedArtifact, match=r"rewards.bin must hold \[6, 4\] of float32; there is 0 bytes"):
        Contexts(path)[0]
    (path / "shapes.json").write_text(json.dumps({"distances": [STATES, 20]}))
    with pytest.raises(InvalidInput, match="no indices, rewards.bin"):
        Contexts(path)


def test_a_folder_without_bins_is_told_from_one_that_is_not_there(tmp_path):
    with pytest.raises(InvalidInput, match=r"with \*\.bin and shapes\.json in it; .*nothing is not there"):
        Contexts(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match=r"holds no shapes\.json"):
        Contexts(tmp_path)
    for shapes in ([], {"indices": 3}, {"indices": [True]}, {"indices": [-1, 20, 2]}, {"indices": []}, None):
        (tmp_path / "shapes.json").write_text(json.dumps(shapes))
        with pytest.raises(DamagedArtifact, match=r"shapes\.json must give each array a list of whole numbers"):
            Contexts(tmp_path)


@pytest.mark.parametrize(("row", "column"), [(2**22, 0), (5, 0), (-1, 0), (3, WIDTH), (3, -1)])
def test_indices_that_lead_nowhere_are_damage(folder, row, column):
    _, path, arrays, _ = folder
    indices = arrays["indices"].copy()
    indices[2, 7] = row, column
    indices.tofile(path / "indices.bin")
    contexts = Contexts(path)
    contexts[1]
    with pytest.raises(DamagedArtifact, match=r"indices\.bin names"):
        contexts[2]


@pytest.mark.parametrize("action", [-1, 18, 2**30])
def test_an_action_that_contexts_do_not_know_is_no_damage(folder, action):
    _, path, arrays, _ = folder
    if "discrete_actions" not in arrays:
        pytest.skip("its actions are vectors")
    np.full_like(arrays["discrete_actions"], action).tofile(path / "discrete_actions.bin")
    with pytest.raises(InvalidInput, match=r"discrete_actions\.bin has actions that are none of 0 to 17"):
        Contexts(path)[0]


@pytest.mark.parametrize("text", ["[]", "{}", '{"p95": null}', '{"p95": NaN}', '{"p95": -1}', '{"p95": true}'])
def test_statistics_without_a_percentile_are_damage(folder, text):
    _, path, _, _ = folder
    (path / "dist_stats.json").write_text(text)
    with pytest.raises(DamagedArtifact, match="no p95"):
        Contexts(path)[0]


@pytest.mark.parametrize("lookup", ["[]", '{"a": 0}', '{"3": "0"}', '{"3": true}', '{"' + "9" * 23 + '": 0}'])
def test_a_lookup_of_no_numbers_is_damage(folder, lookup):
    _, path, _, _ = folder
    (path / "all_row_idxs_lookup-5demos.json").write_text(lookup)
    with pytest.raises(DamagedArtifact, match="does not give each row a number"):
        Contexts(path)[0]


@pytest.mark.parametrize("world_size", [1, 2])
def test_with_a_seed_ranks_share_the_items_of_each_epoch_in_an_order_of_its_own(folder, world_size):
    _, path, _, _ = folder
    plain = Contexts(path).batch(np.arange(STATES))
    ranks = [Contexts(path, seed=4, rank=rank, world_size=world_size) for rank in range(world_size)]
    each = STATES // world_size
    for epoch in range(2):
        numbers = np.arange(each) + epoch * each
        places = np.concatenate([rank.order.places(numbers) for rank in ranks])
        assert len(set(places.tolist())) == len(places) == each * world_size
        rewards = torch.cat([rank.batch(numbers)["rewards"] for rank in ranks])
        torch.testing.assert_close(rewards, plain["rewards"][places])
    first, second = (ranks[0].order.places(np.arange(each) + epoch * each) for epoch in range(2))
    assert not np.array_equal(first, second)


def test_arrays_are_what_tensors_are_and_a_loader_gives_either(folder):
    _, path, _, _ = folder
    tensors, arrays = Contexts(path, seed=1), Contexts(path, seed=1, numpy=True)
    wanted = tensors.batch(np.arange(5))
    for batch in (arrays.batch(np.arange(5)), next(iter(Loader(arrays, 5, numpy=True, prefetch=0)))):
        assert {type(array) for array in batch.values()} == {np.ndarray}
        for name, array in batch.items():
            np.testing.assert_array_equal(array, wanted[name].numpy())
    for name, tensor in next(iter(Loader(tensors, 5, prefetch=0))).items():
        torch.testing.assert_close(tensor, wanted[name])
    assert arrays[-1]["rewards"].shape == (20,)


def test_a_mixture_of_contexts_says_which_task_an_item_is_of(folder):
    _, path, _, _ = folder
    mixture = Mixture([Contexts(path, seed=1), Contexts(path, seed=2)], weights=[1, 3], samples=160)
    batch = mixture.batch(np.arange(160))
    assert 35 < (batch["task"] == 0).sum() < 45
    own = Contexts(path, seed=2, numpy=True).batch(mixture.order.pick(np.arange(160)).numbers[batch["task"] == 1])
    np.testing.assert_array_equal(batch["rewards"][batch["task"] == 1], own["rewards"])
