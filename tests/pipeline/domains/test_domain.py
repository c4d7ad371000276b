"""A domain in words: those of a command, and those for people."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.domains.domain import Domain
from tests.conftest import toy_domain

CONF = Path(__file__).parents[3] / "conf"
KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda key: key not in ("null", "true", "false"))
TEXTS = st.text(st.sampled_from("aZ09 _-./:'\"{}[],=+é"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def built(words: str) -> Domain:
    """The domain of a command's words, as run.py builds it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        made: Domain = instantiate(compose("config", shlex.split(words)).domain, _convert_="object")
    return made


@settings(max_examples=25)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
@example({"difficulty": "hard", "size": "3", "yes": "true", "no": "null", "empty": "", "accent": "Zé"})
def test_the_words_of_a_domain_build_it_again(kwargs):
    asked = {"env_id": "ALE/Pong-v5", "packages": ["ale_py", "my.envs"], "max_steps": 20, "fresh": True}
    given_kwargs = {"env_kwargs": kwargs} if kwargs else {}
    domain = Domain("gym", None, 1, dict, ["pong-v5"], toy_domain().regent, settings=asked | given_kwargs)
    found = built(domain.words).environment.keywords
    assert {key: found[key] for key in asked} == asked
    assert json.dumps(found["env_kwargs"]) == json.dumps(kwargs)  # true is not 1


@pytest.mark.parametrize(
    "words",
    [
        "domain=toy",
        "domain=dmc",
        "domain=gym domain.env_id=CartPole-v1",
        "domain=gym domain.env_id=MyEnv-v0 domain.entry_point=my_package.envs:MyEnv",
        "domain=dmc domain.entry_point=my_envs:Catch '+domain.env_kwargs={rows: 10}' domain.seed_argument=false",
    ],
)
def test_only_what_a_domain_needs_is_said(words):
    assert built(words).words == words
    assert built(f"{words} domain.episodes=7").words == words


def test_people_read_the_display_name_beside_the_name():
    assert built("domain=gym domain.env_id=CartPole-v1").label == "gym"
    assert built("domain=gym domain.env_id=CartPole-v1 'domain.display_name=Pole on a cart'").label == (
        "gym (Pole on a cart)"
    )
