"""Commands and settings that hold a secret: refused, not repeated, with the command to run instead."""

from __future__ import annotations

import pytest

from pipeline.campaign.secret_words import refuse_secret_settings, refuse_secrets
from pipeline.command import Typed, user_typed
from pipeline.errors import InvalidSettings

FERN = "Fern4711x"
FIRST = ("stage=fetch", "domain=toy")


@pytest.mark.parametrize(
    ("words", "name", "rest"),
    [
        ((f"hub.token={FERN}",), "hub.token", ""),
        ((f"+hub.token={FERN}",), "hub.token", ""),
        (("hub.token", "=", FERN), "hub.token", ""),
        (("hub.token=", FERN), "hub.token", ""),
        (("--token", FERN), "token", ""),
        ((f"--password={FERN}",), "password", ""),
        ((f"hub.repo_id=hf_{FERN}",), "hub.repo_id", ""),
        ((f"hydra.job.env_set.HF_TOKEN={FERN}",), "hydra.job.env_set.HF_TOKEN", ""),
        ((f"hub={{token: {FERN}}}",), "hub", None),
        ((f"+domain.env_kwargs={{api_key: {FERN}, rows: 3}}",), "domain.env_kwargs", None),
        ((f"source.root=s3://me:{FERN}@bucket/x",), "source.root", "source.root=s3://bucket/x"),
        ((f"source.root=https://h/x?X-Amz-Signature={FERN}",), "source.root", "source.root=https://h/x"),
        ((f"hub.endpoint=me:{FERN}@hub.co",), "hub.endpoint", "hub.endpoint=hub.co"),
        ((f"paths.root=ftp://me:{FERN}@h", f"hub.token={FERN}"), "paths.root", "paths.root=ftp://h"),
    ],
    ids=lambda _: "words",
)
def test_a_typed_secret_is_refused_and_the_rest_of_the_command_told(words, name, rest):
    typed = (*FIRST, *words)
    with user_typed(Typed(typed)), pytest.raises(InvalidSettings) as caught:
        refuse_secrets(typed)
    message = str(caught.value)
    assert FERN not in message
    assert message.startswith(f"{name}: ")
    assert "HF_TOKEN" in message
    then = f"Then: python run.py {' '.join(FIRST)} {rest}".rstrip()
    assert (message.splitlines()[-1] == then) if rest is not None else ("Then: " not in message)


@pytest.mark.parametrize(
    "words",
    [
        ("source.missions=tokens", "tokenizer.path=a b.json"),
        ("hub.token=null",),
        ("~hub", "hub.endpoint=http://127.0.0.1:80/a"),
        ("+domain.env_kwargs={pad_token: x, sort_key: y}", "domain.entry_point=pkg.mod:make", "policy.file=a@b.zip"),
    ],
)
def test_other_words_pass(words):
    refuse_secrets(words)


def test_a_composed_setting_is_refused_by_its_name():
    refuse_secret_settings([("hub.endpoint", None), ("hub.retries", 5), ("hub.private", True), ("tokenizer.path", "x")])
    for name, value in (("hub.endpoint", f"https://me:{FERN}@hub"), ("domain.env_kwargs.api_key", FERN)):
        with pytest.raises(InvalidSettings, match=rf"^{name}: ") as caught:
            refuse_secret_settings([("seed", 0), (name, value)])
        assert FERN not in str(caught.value)
