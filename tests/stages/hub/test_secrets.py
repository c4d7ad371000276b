"""No run leaves a secret anywhere: not what a server repeats, not what was typed, not what a file of settings holds."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import HubError
from tests.stages.hub.conftest import REPO, ROOT, assert_nowhere, fetched, publish_command, python

TOKEN = "Fern 4711/x"
"""Of no known form: that it is the token is all that one can know of it."""

REPEATS = {
    "body": json.dumps({"error": f"the token {TOKEN} is not mine", "token": TOKEN}).encode(),
    "headers": {"X-Error-Message": f"not {TOKEN}", "X-Request-Id": TOKEN, "X-Debug": f"Bearer {TOKEN}"},
    "times": 99,
}
RUN = str(ROOT / "run.py")


@pytest.mark.parametrize(("stage", "status"), [("publish", 403), ("fetch", 503), ("ingest", 403)])
def test_a_token_that_the_hub_repeats_is_nowhere(home, server, tmp_path, stage, status):
    server.tokens[TOKEN] = True
    server.fail("/api/", status, **REPEATS | {"headers": REPEATS["headers"] | {"Retry-After": "0"}})
    root = f"paths.root={home.root.parent}"
    words = {
        "publish": [*publish_command(home), "hub.retries=1"],
        "fetch": [RUN, "stage=fetch", "domain=toy", "task=corner", f"hub.repo_id={REPO}", "hub.retries=1", root],
        "ingest": [
            RUN,
            "stage=ingest",
            "source=jat",
            "domain=mujoco",
            "task=ant",
            f"source.cache={tmp_path}/jat",
            root,
        ],
    }[stage]
    text = python([*words, "hydra.verbose=true"], server, tmp_path, status=1, token=TOKEN)
    assert "[secret]" in text
    assert TOKEN not in text
    assert_nowhere(TOKEN, tmp_path)


def test_a_library_call_shows_no_token_either(home, server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.fail("/api/", 403, **REPEATS)
    with pytest.raises(HubError, match=r"\[secret\]") as caught:
        fetched(server, tmp_path / "there", retries=0)
    assert TOKEN not in str(caught.value)


def test_a_typed_secret_reaches_no_server_and_no_file(server, tmp_path):
    root = tmp_path / "root"
    for words in (
        [f"hub.token={TOKEN}"],
        ["-m", "hub.token=Fern4711x,b"],
        ["hub.endpoint=http://me:Fern4711x@127.0.0.1"],
    ):
        fetch = [RUN, "stage=fetch", "domain=toy", f"hub.repo_id={REPO}", f"paths.root={root}"]
        text = python([*fetch, *words], server, tmp_path, status=1, token=None)
        assert "Nothing was written or sent." in text
        assert "Fern" not in text
    assert not root.exists()
    assert server.log == []


def test_a_secret_in_a_file_of_settings_reaches_no_server_and_no_file(server, tmp_path):
    (tmp_path / "conf/experiment").mkdir(parents=True)
    head = "# @package _global_\n"
    (tmp_path / "conf/experiment/mine.yaml").write_text(f"{head}hub:\n  endpoint: http://me:Fern4711x@127.0.0.1\n")
    (tmp_path / "conf/experiment/linked.yaml").write_text(f"{head}hub:\n  repo_id: ${{oc.env:HF_TOKEN}}\n")
    root = tmp_path / "root"
    for name, setting in (("mine", "hub.endpoint"), ("linked", "hub.repo_id")):
        words = [RUN, "--config-dir", "conf", f"experiment={name}", "stage=fetch", "domain=toy", f"paths.root={root}"]
        text = python(words, server, tmp_path, status=1, token="Fern4711x-and-more")
        assert text.startswith(f"{setting}: ")
        assert "Fern" not in text
    assert not root.exists()
    assert server.log == []
