"""run.py with an experiment of RLHF-Blender: registered once, its name alone means the environment."""

from __future__ import annotations

from tests.blender_tree import sampled, table
from tests.test_run import ROOT, run

KWARGS = "+domain.env_kwargs={max_episode_steps: 4, reward_threshold: 200, difficulty: hard}"


def test_a_registered_experiment_is_collected_and_exported_by_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "examples"))
    form = ("format=rlhf_blender", "format.experiment=Mine", f"format.out={tmp_path / 'tree'}")
    own = ("domain.env_id=Own-v0", "domain.entry_point=my_package.envs:MyEnv", "domain.packages=[my_package]", KWARGS)
    text = run(tmp_path, "stage=register", "domain=gym", *own, *form, "domain.display_name=A boat", "format.project=P")
    assert "Action dimensions: 5" in text
    words = ("stage=[collect,export]", "domain=gym", "episodes=2", "workers=1", "format.observation=boat")
    text = run(tmp_path, *words, *form)
    assert "taken over: domain.env_id=Own-v0" in text
    (project,), (experiment,) = table(tmp_path / "tree", "Project"), table(tmp_path / "tree", "Experiment")
    assert (project["project_name"], experiment["checkpoint_list"]) == ("P", ["-1"])
    assert len(sampled(tmp_path / "tree", experiment, "Own-v0")) == 2
