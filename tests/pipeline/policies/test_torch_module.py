"""Networks in one file: both kinds, what they see, and what they answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision
from pipeline.policies.network import SLOTS
from pipeline.policies.torch_module import TorchModule
from tests.contracts.policy import PolicyContract
from tests.pipeline.policies.agents import FORCE, MOVES, Small
from tests.pipeline.policies.sb3.test_agent import answers, draws, seen

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


class Vector(torch.nn.Module):
    """float64 vectors to three numbers."""

    def __init__(self, width: int = 3, outputs: int = 3, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(width, 16), torch.nn.Tanh(), torch.nn.Linear(16, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.layers(x.float())


class Pictures(torch.nn.Module):
    """(3, 40, 40) stacks of pictures to three numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 8, 4), torch.nn.Flatten(), torch.nn.Linear(648, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.float() / 255.0)


class Several(torch.nn.Module):
    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([x["place"], x["speed"].float()], dim=1)


class Ends(torch.nn.Module):
    """The oldest and the newest picture's first pixel."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.movedim(self.axis, 1)[:, :, 0, 0].float()
        return torch.stack([frames[:, 0], frames[:, -1]], dim=1) / 100


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of scripted and exported networks."""
    folder = tmp_path_factory.mktemp("networks")
    for name, module in (
        ("vector", Vector()),
        ("force", Vector(outputs=2, scale=9.0)),
        ("pictures", Pictures()),
        ("several", Several()),
    ):
        torch.jit.script(module).save(folder / f"{name}.pt")
    example = torch.zeros(SLOTS, 3, dtype=torch.float64)
    torch.export.save(torch.export.export(Vector(), (example,)), folder / "static.pt2")
    rows = {"x": {0: torch.export.Dim("rows")}}
    torch.export.save(torch.export.export(Vector(), (example,), dynamic_shapes=rows), folder / "dynamic.pt2")
    torch.export.save(torch.export.export(Vector(), (example[:3],)), folder / "three.pt2")
    return folder


@pytest.mark.parametrize("name", ["vector.pt", "static.pt2", "dynamic.pt2"])
def test_the_highest_logit_wins(files, name):
    environment = Small()
    observations = seen(environment)
    actions = answers(TorchModule(files / name, trust=True), environment, observations)
    expected = Vector()(torch.from_numpy(np.stack(observations))).argmax(dim=1)
    np.testing.assert_array_equal(actions, expected)
    assert {action.dtype for action in actions} == {np.dtype(np.int64)}


def test_sampled_actions_have_the_softmax_chances(files):
    environment = Small()
    observation = environment.reset(0)
    chances = torch.softmax(Vector()(torch.from_numpy(observation[None])), dim=1)[0].detach().numpy()
    drawn = draws(TorchModule(files / "vector.pt", deterministic=False, trust=True), environment, observation)
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / len(drawn), chances, atol=0.05)


def test_actions_are_taken_as_they_are_within_the_bounds(files):
    environment = Small("vector", FORCE)
    observations = seen(environment)
    actions = np.stack(answers(TorchModule(files / "force.pt", "actions", trust=True), environment, observations))
    given = Vector(outputs=2, scale=9.0)(torch.from_numpy(np.stack(observations))).detach().numpy()
    np.testing.assert_allclose(actions, np.clip(given, FORCE.low, FORCE.high), atol=1e-6)
    assert (actions != given).any()


def test_observations_of_several_arrays_arrive_by_name(files):
    environment = Small("several")
    observations = seen(environment)
    actions = answers(TorchModule(files / "several.pt", trust=True), environment, observations)
    expected = [np.argmax([*each["place"], *each["speed"]]) for each in observations]
    np.testing.assert_array_equal(actions, expected)


@pytest.mark.parametrize(("channels", "axis", "padding"), [("first", 1, "zero"), ("last", 3, "first")])
def test_stacks_reach_the_network_newest_last(tmp_path, channels, axis, padding):
    torch.jit.script(Ends(axis)).save(tmp_path / "ends.pt")
    policy = TorchModule(tmp_path / "ends.pt", "actions", stack=3, channels=channels, padding=padding, trust=True)
    environment, ends = Small("picture", FORCE), []
    policy.start(0, environment)
    for number in (10, 20, 30, 40):
        decision = Decision(0, np.full((5, 6), number, np.uint8), np.random.default_rng(0))
        ends.append(np.rint(100 * policy.act([decision])[0]).tolist())
    before = 0 if padding == "zero" else 10
    assert ends == [[before, 10], [before, 20], [10, 30], [20, 40]]


def test_the_input_type_can_be_chosen(files):
    policy = TorchModule(files / "pictures.pt", stack=3, input_dtype="float32", trust=True)
    environment = Small("picture")
    chosen = answers(policy, environment, seen(environment))
    assert policy._inputs.tensors[""].dtype == torch.float32
    np.testing.assert_array_equal(
        chosen, answers(TorchModule(files / "pictures.pt", stack=3, trust=True), environment, seen(environment))
    )


def test_the_first_calls_have_the_bits_of_later_ones(files):
    """TorchScript would watch the first calls and compute the rest in a faster way."""
    policy, environment = TorchModule(files / "force.pt", "actions", trust=True), Small("vector", FORCE)
    observations = seen(environment)
    several = {np.stack(answers(policy, environment, observations)).tobytes() for _ in range(5)}
    assert len(several) == 1


class TestScripted(PolicyContract):
    @pytest.fixture(autouse=True)
    def written(self, files):
        self.path = files / "vector.pt"

    def make(self):
        return TorchModule(self.path, deterministic=False, trust=True)

    def environment(self):
        return Small()


class TestExported(TestScripted):
    @pytest.fixture(autouse=True)
    def written(self, files):
        self.path = files / "static.pt2"


class TestPictures(TestScripted):
    @pytest.fixture(autouse=True)
    def written(self, files):
        self.path = files / "pictures.pt"

    def make(self):
        return TorchModule(self.path, stack=3, trust=True)

    def environment(self):
        return Small("picture")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"agent\.pt is a program.*trust=true"),
        ({"output": "values", "trust": True}, r"policy\.output is one of logits, actions; it is values"),
        ({"channels": "middle", "trust": True}, r"policy\.channels is one of first, last"),
        ({"stack": 0, "trust": True}, r"policy\.stack"),
        ({"input_dtype": "floaty", "trust": True}, r"policy\.input_dtype .* floaty"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        TorchModule("agent.pt", **options)


@pytest.mark.parametrize(
    ("name", "options", "shows", "takes", "message"),
    [
        ("vector.pt", {}, "vector", FORCE, r"policy\.output=actions"),
        ("force.pt", {}, "vector", MOVES, r"gives \(2,\) logits.*one of 3 actions"),
        ("vector.pt", {"output": "actions"}, "vector", FORCE, r"actions of shape \(3,\)"),
        ("vector.pt", {"output": "actions"}, "vector", MOVES, r"actions of shape \(3,\).*takes \(\)"),
        ("vector.pt", {}, "odd", MOVES, r"does not take torch\.float64 \(8, 7\).*policy\.stack"),
        ("three.pt2", {}, "vector", MOVES, r"does not take torch\.float64 \(8, 3\)"),
        ("pictures.pt", {}, "picture", MOVES, "does not take"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(files, name, options, shows, takes, message):
    environment = Small(shows, takes)
    with pytest.raises(InvalidInput, match=message):
        answers(TorchModule(files / name, trust=True, **options), environment, seen(environment))


def test_other_files_are_refused(tmp_path):
    for name in ("a.pt", "a.pt2"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(InvalidInput, match=rf"{name} cannot be read"):
            TorchModule(tmp_path / name, trust=True).start(0, Small())
    with pytest.raises(InvalidInput, match="no network"):
        TorchModule(tmp_path / "b.pt", trust=True).identity()


def test_a_network_that_gives_something_else_is_refused(tmp_path):
    class Pair(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    torch.jit.script(Pair()).save(tmp_path / "pair.pt")
    torch.jit.script(torch.nn.Flatten(0)).save(tmp_path / "flat.pt")
    for name, message in (("pair", "tuple"), ("flat", r"\(24,\)")):
        with pytest.raises(InvalidInput, match=rf"one tensor with 8 rows.*{message}"):
            answers(TorchModule(tmp_path / f"{name}.pt", trust=True), Small(), seen(Small()))


def test_the_identity_holds_the_program_and_every_option(files):
    plain = TorchModule(files / "vector.pt", trust=True).identity()
    assert plain["name"] == "vector"
    assert len(plain["program"]) == 64
    for changed in ({"stack": 2}, {"channels": "last"}, {"input_dtype": "float32"}, {"deterministic": False}):
        assert TorchModule(files / "vector.pt", trust=True, **changed).identity() != plain
    numbers = Decision(0, np.zeros(3), np.random.default_rng(0))
    with pytest.raises(RuntimeError, match="start"):
        TorchModule(files / "vector.pt", trust=True).act([numbers])
