"""The examples learn from small datasets, play in their simulators, and go on where they were stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipeline import Contexts, Loader, Transitions, Windows
from pipeline.envs.gym.environment import Gym
from pipeline.envs.metaworld import MetaWorld

PICK_PLACE = "metaworld/pick-place/scripted-v1"


class Noting:
    """Batches of a loader as they pass by; after `stop` of them the run is over."""

    def __init__(self, loader: Loader, stop: int | None = None) -> None:
        self.loader, self.stop, self.seen = loader, stop, []

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self.loader:
            self.seen.append({name: tensor.clone() for name, tensor in batch.items()})
            yield batch
            if len(self.seen) == self.stop:
                raise KeyboardInterrupt


def windows(poles) -> Loader:
    from decision_transformer import FIELDS, ROWS

    data = poles["gym/cartpole-v1/ppo-online-v1"]
    return Loader(Windows.of(data, length=ROWS, padding="left", fields=FIELDS), batch_size=32)


def test_a_network_clones_an_expert(experts):
    from behaviour_cloning import train

    batches = Loader(Transitions.of(experts[PICK_PLACE], fields=("observation", "action")), batch_size=50)
    losses = train(batches, epochs=8)[1]
    assert losses[0] > 0.25
    assert np.mean(losses[-10:]) < 0.08


def test_a_decision_transformer_learns_where_to_push_and_plays(poles):
    from decision_transformer import player, train

    model, losses = train(windows(poles), epochs=6)
    assert losses[0] > 0.6
    assert np.mean(losses[-5:]) < 0.35
    environment, act = Gym("cartpole-v1", "CartPole-v1"), player(model, target=30)
    from play import play

    assert 9 <= play(environment, act, poles["gym/cartpole-v1/ppo-online-v1"], episodes=1) <= 500


def test_padding_changes_no_logits_of_the_rows_that_are_there(poles):
    """So a player need not pad, though it was trained on padded windows."""
    from decision_transformer import DecisionTransformer

    torch.manual_seed(0)
    model = DecisionTransformer(observation=4, actions=2).eval()
    batch = next(iter(windows(poles)))
    short = int(batch["mask"].sum(1).argmin())
    there = batch["mask"][short]
    alone = {name: tensor[short : short + 1, there] for name, tensor in batch.items()}
    assert there.sum() < 20
    with torch.inference_mode():
        torch.testing.assert_close(model(batch)[short, there], model(alone)[0])


def test_a_run_that_was_stopped_in_mid_epoch_sees_the_batches_that_are_left(poles):
    from decision_transformer import train

    undisturbed, stopped = Noting(windows(poles)), Noting(windows(poles), stop=3)
    train(undisturbed, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, epochs=2)
    resumed = Noting(windows(poles))
    resumed.loader.load_state_dict(stopped.loader.state_dict())
    train(resumed, epochs=2)
    assert len(undisturbed.seen) > 8
    seen = [*stopped.seen, *resumed.seen]
    assert len(seen) == len(undisturbed.seen)
    for mine, theirs in zip(seen, undisturbed.seen, strict=True):
        for name, tensor in mine.items():
            assert torch.equal(tensor, theirs[name])


def test_the_nearest_state_of_the_data_itself_is_that_state(experts):
    from retrieve_and_play import nearest

    data = experts[PICK_PLACE]
    act, episode = nearest(data), data[2]
    for row in (0, 40, 99):
        np.testing.assert_array_equal(act(episode.steps["observation"][: row + 1]), episode.steps["action"][row])


def test_a_policy_of_contexts_learns_more_than_the_retrieved_action(experts):
    from context_policy import train

    contexts = Contexts.of(experts.find("bins", "metaworld/pick-place"))
    losses = train([DataLoader(contexts, batch_size=50, shuffle=True)], epochs=4)[1]
    assert losses[0] > 0.2
    assert np.mean(losses[-5:]) < 0.06


def test_a_context_that_is_made_in_play_is_that_of_the_bins(experts):
    """Of a query that the data does not have: the bins leave out the query's own episode, as this does."""
    from context_policy import player

    data = experts[PICK_PLACE]
    contexts = Contexts.of(experts.find("bins", "metaworld/pick-place"))
    given = []

    def policy(batch):
        given.append(batch)
        return batch["continuous_actions"]

    number, row = len(data) - 1, 30
    steps = data[number].steps
    others = type(data).of(experts.dataset("metaworld", "pick-place", "scripted-v1", episodes=number))
    act = player(policy, others, contexts.p95)
    act(steps["observation"][: row + 1], steps["action"][:row], steps["reward"][:row].tolist())
    item = contexts[int(data.state_ends[number - 1]) + row]
    for name, tensor in given[0].items():
        wanted = item[name].clone()
        if name == "continuous_actions":
            wanted[-1] = 0
        torch.testing.assert_close(tensor[0], wanted)


def test_a_score_is_printed_beside_that_of_the_data(experts, capsys):
    from play import play

    def act(observations, actions, rewards):
        assert len(observations) == len(actions) + 1 == len(rewards) + 1
        return np.zeros(4, np.float32)

    mean = play(MetaWorld("pick-place", max_steps=5), act, experts[PICK_PLACE], episodes=2)
    played, data = capsys.readouterr().out.splitlines()
    assert float(re.search(r"played: +2 episodes, mean return +([\d.]+) .*, 0% solved", played)[1]) == round(mean, 1)
    wanted = experts[PICK_PLACE].per_episode("return").mean()
    assert float(re.search(r"the data: +5 episodes, mean return +([\d.]+) .*, 100% solved", data)[1]) == round(
        wanted, 1
    )


def test_success_that_nobody_knows_is_not_printed(poles, capsys):
    from play import play

    play(Gym("cartpole-v1", "CartPole-v1"), lambda *_: np.int64(0), poles["gym/cartpole-v1/ppo-online-v1"], episodes=1)
    assert "solved" not in capsys.readouterr().out
