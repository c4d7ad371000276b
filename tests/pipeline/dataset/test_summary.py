"""What a manifest says of a dataset."""

import dataclasses

import numpy as np

from pipeline.dataset.summary import summarise
from pipeline.dataset.writer import DatasetWriter
from pipeline.storage.choice import storage_named
from tests.conftest import made_episode
from tests.pipeline.dataset.made import PART, made, written


def test_the_summary_counts_and_averages(tmp_path):
    rng = np.random.default_rng(1)
    episodes = [made_episode(rng, 3, success=1), made_episode(rng, 5, success=0), made_episode(rng, 2)]
    facts = summarise(tmp_path, written(tmp_path, episodes))
    assert facts["counts"] == {"episodes": 3, "states": 10, "successes": 1, "success_known": 2}
    gave_up = [*episodes, made_episode(rng, 4, truncated=True, end_reason="gave_up")]
    more = tmp_path / "more"
    assert summarise(more, written(more, gave_up))["counts"]["gave_up"] == 1
    assert facts["return_"]["max"] == max(e.total_reward for e in episodes)
    assert {a["name"]: a["shape"] for a in facts["arrays"]}["observation"] == [13, 3]


def test_what_a_source_counts_is_summed_over_its_parts(tmp_path):
    parts = written(tmp_path, made(12), "bin", 1)
    counted = [dataclasses.replace(part, facts={"rows_left_out": 2, "file": "a"}) for part in parts]
    counts = summarise(tmp_path, counted)["counts"]
    assert counts["rows_left_out"] == 24
    assert "file" not in counts


def test_a_known_summary_is_not_read_again(tmp_path):
    writer = DatasetWriter(tmp_path, tmp_path / "none", storage_named("bin"), PART)
    for episode in made(12):
        writer.append(episode)
    parts = writer.finish()
    assert summarise(tmp_path / "nowhere", parts, writer.summaries) == summarise(tmp_path, parts)
