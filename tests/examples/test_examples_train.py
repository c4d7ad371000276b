"""The examples learn from small datasets, play in their simulators, and go on where they were stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator

import behaviour_cloning
import context_policy
import decision_transformer
import numpy as np
import pytest
import retrieve_and_play
import torch
from play import SoFar, learn, play
from torch.nn.functional import mse_loss

from pipeline import Contexts, Loader, Windows
from pipeline.envs.gym.environment import Gym
from pipeline.envs.metaworld import MetaWorld

PICK_PLACE, CARTPOLE = "metaworld/pick-place/scripted-v1", "gym/cartpole-v1/ppo-online-v1"


class Noting:
    """Batches of a loader as they pass by; after `stop` of them the run is over."""

    def __init__(self, loader: Loader, stop: int | None = None) -> None:
        self.loader, self.stop, self.seen = loader, stop, []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self.loader:
            self.seen.append({name: tensor.clone() for name, tensor in batch.items()})
            yield batch
            if len(self.seen) == self.stop:
                raise KeyboardInterrupt


def windows(poles) -> Loader:
    view = Windows.of(poles[CARTPOLE], length=20, padding="left", fields=decision_transformer.FIELDS)
    return Loader(view, batch_size=32)


def transformer() -> decision_transformer.DecisionTransformer:
    torch.manual_seed(0)
    return decision_transformer.DecisionTransformer()


def test_a_network_clones_an_expert(experts):
    losses = behaviour_cloning.train(experts[PICK_PLACE], epochs=20)[1]
    assert losses[0] > 0.25
    assert np.mean(losses[-10:]) < 0.05


def test_a_decision_transformer_learns_where_to_push_and_plays(poles):
    model = transformer()
    losses = learn(model, windows(poles), model.loss, epochs=6)
    assert losses[0] > 0.6
    assert np.mean(losses[-5:]) < 0.35
    act = decision_transformer.player(model, target=30)
    assert play(Gym("cartpole-v1", "CartPole-v1"), act, poles[CARTPOLE], episodes=1) > 20


def test_padding_changes_no_logits_of_the_rows_that_are_there(poles):
    """So a player need not pad, though it was trained on padded windows."""
    model = transformer().eval()
    batch = next(iter(windows(poles)))
    short = int(batch["mask"].sum(1).argmin())
    there = batch["mask"][short]
    alone = {name: tensor[short : short + 1, there] for name, tensor in batch.items()}
    assert there.sum() < 20
    with torch.inference_mode():
        torch.testing.assert_close(model(batch)[short, there], model(alone)[0])


def test_a_run_that_was_stopped_in_mid_epoch_sees_the_batches_that_are_left(poles):
    model = transformer()
    undisturbed, stopped, resumed = Noting(windows(poles)), Noting(windows(poles), stop=3), Noting(windows(poles))
    learn(model, undisturbed, model.loss, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        learn(model, stopped, model.loss, epochs=1)
    resumed.loader.load_state_dict(stopped.loader.state_dict())
    learn(model, resumed, model.loss, epochs=1)
    seen = [*stopped.seen, *resumed.seen]
    assert len(seen) == len(undisturbed.seen) > 6
    for mine, theirs in zip(seen, undisturbed.seen, strict=True):
        for name, tensor in mine.items():
            assert torch.equal(tensor, theirs[name])


def test_the_nearest_state_to_one_of_the_data_is_itself(experts):
    data = experts[PICK_PLACE]
    act, steps = retrieve_and_play.retriever(data), data[2].steps
    for row in (0, 40, 99):
        np.testing.assert_array_equal(act(SoFar(list(steps["observation"][: row + 1]), [], [])), steps["action"][row])


def test_a_policy_learns_from_contexts(experts):
    contexts = Contexts.of(experts.find("bins", "metaworld/pick-place"), seed=0)
    torch.manual_seed(0)
    policy = context_policy.ContextPolicy()
    batches = Loader(contexts, batch_size=50)
    losses = learn(policy, batches, lambda batch: mse_loss(policy(batch), batch["continuous_actions"]), 4, rate=2e-3)
    assert losses[0] > 0.2
    assert np.mean(losses[-5:]) < 0.08


def test_a_context_that_is_made_in_play_is_that_of_the_bins(experts):
    """Of the last episode, which others then do not have: the bins retrieve nothing of a query's own episode."""
    data = experts[PICK_PLACE]
    contexts = Contexts.of(experts.find("bins", "metaworld/pick-place"))
    given = []

    def policy(batch):
        given.append(batch)
        return batch["continuous_actions"]

    number, row = len(data) - 1, 30
    others = type(data).of(experts.dataset("metaworld", "pick-place", "scripted-v1", episodes=number))
    act = context_policy.player(policy, others, float(contexts.p95))
    act(SoFar(list(data[number].steps["observation"][: row + 1]), [], []))
    item = contexts[int(data.state_ends[number - 1]) + row]
    item["continuous_actions"][-1] = 0  # what the query is asked for
    for name, tensor in given[0].items():
        torch.testing.assert_close(tensor[0], item[name])


def test_a_score_is_printed_beside_that_of_the_data(experts, capsys):
    def act(so_far):
        assert len(so_far.observations) == len(so_far.actions) + 1 == len(so_far.rewards) + 1
        return np.zeros(4, np.float32)

    mean = play(MetaWorld("pick-place", max_steps=5), act, experts[PICK_PLACE], episodes=2)
    played, data = capsys.readouterr().out.splitlines()
    wanted = experts[PICK_PLACE].per_episode("return").mean()
    assert re.fullmatch(rf"played +mean return {mean:.1f} .* of 2 episodes, 0% of them solved", played)
    assert re.fullmatch(rf"the data mean return {wanted:.1f} .* of 5 episodes, 100% of them solved", data)


def test_success_that_nobody_knows_is_not_printed(poles, capsys):
    play(Gym("cartpole-v1", "CartPole-v1"), lambda _: np.int64(0), poles[CARTPOLE], episodes=1)
    assert "solved" not in capsys.readouterr().out
