"""Publishing: what is in the repository, what is sent twice, what goes wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

import pipeline.regent.parquet
from pipeline.errors import ArtifactNotFound, HubError
from stages import gc
from tests.conftest import derived, toy_domain
from tests.hub_server import READER, WRITER
from tests.stages.hub.conftest import (
    REPO,
    TASKS,
    assert_nowhere,
    bins_of,
    content,
    description,
    environment,
    fetched,
    publish_command,
    published,
    python,
    shapes,
)

LOOKUP = "all_row_idxs_lookup-5demos.json"


def large(server):
    return {path: file.sha256 for path, file in server.files(REPO).items() if file.sha256}


def commits(server):
    return server.repo(REPO).messages


def shards(home, task, kind):
    (parquet,) = home.of_kind("toy", task, "parquet")
    folder = parquet.path / "data" / f"toy-{task}_{kind}"
    return {f"{folder.name}/{path.name}": path for path in folder.iterdir()}


def test_the_repository_holds_shards_and_what_they_leave_out(home, server):
    artifact = published(home, server)
    expected = {
        **shards(home, "corner", "subset"),
        **shards(home, "corner", "newdata"),
        **shards(home, "key", "newdata"),
    }
    for task in TASKS:
        bins = content(bins_of(home, task))
        expected |= {f"regent/toy-{task}/{name}": bins[name] for name in ("shapes.json", "dist_stats.json", LOOKUP)}
    left = [key for key in shapes(bins_of(home, "key")) if key != "distances"]
    expected |= {f"regent/toy-key/{key}.bin": content(bins_of(home, "key"))[f"{key}.bin"] for key in left}
    ours = {".gitattributes", "README.md", *(f"regent/toy-{task}/published.json" for task in TASKS)}
    assert len(shards(home, "corner", "subset")) > 1
    assert set(server.files(REPO)) == expected.keys() | ours
    for path, there in expected.items():
        assert server.content(REPO, path) == (there if isinstance(there, bytes) else there.read_bytes())
    assert server.repo(REPO).private
    assert len(commits(server)) == 1 + len(TASKS)
    record = json.loads((artifact.path / "publish.json").read_text())
    assert record["commit"] == server.repo(REPO).branches["main"]
    assert {path: file["sha256"] for path, file in record["files"].items() if path in large(server)} == large(server)
    states = [bins_of(home, task).manifest.counts["states"] for task in TASKS]
    assert artifact.manifest.counts["states"] == sum(states)
    assert [parent["kind"] for parent in artifact.manifest.parents] == ["parquet"] * len(TASKS)


def test_the_description_and_the_card_tell_what_was_measured(home, server):
    published(home, server)
    facts, bins = description(server), bins_of(home)
    assert facts["bins"]["digest"] == bins.manifest.digest
    assert {name: file["size"] for name, file in facts["bins"]["files"].items()} == {
        name: len(text) for name, text in content(bins).items()
    }
    assert facts["figures"]["distances"] == json.loads(content(bins)["dist_stats.json"])
    dataset = home.dataset("toy", "corner", "scripted-v1", facts["figures"]["episodes"])
    assert facts["dataset"]["digest"] == bins.parent("episodes").digest
    assert facts["dataset"]["made_by"] == dataset.manifest.parameters
    text = json.dumps(facts)
    assert os.uname().nodename not in text
    assert str(home.root) not in text
    readme = server.content(REPO, "README.md").decode()
    assert f"| {facts['figures']['distances']['p95']:.9g} | scripted-v1, {facts['dataset']['digest'][:16]} |" in readme
    assert f"| toy-corner | {facts['figures']['episodes']} | {facts['figures']['states']} |" in readme
    assert "| toy-key (held out) |" in readme


def test_a_second_publish_finds_everything_and_sends_nothing(home, server):
    first = published(home, server)
    sent, count = list(server.received), len(commits(server))
    again = published(home, server)
    assert (first.built, again.built, published(home, server, force=True).built) == (True, False, True)
    assert (server.received, len(commits(server))) == (sent, count)
    assert sorted(sent) == sorted(large(server).values())
    gc.run(domain=None, only=None, workspace=home, delete=True)
    assert published(home, server).path == first.path


def test_what_went_missing_in_the_repository_comes_back_and_nothing_else_is_touched(home, server):
    published(home, server)
    before = server.files(REPO)
    shard = next(iter(shards(home, "corner", "newdata")))
    server.put(REPO, {"regent/toy-key/shapes.json": b"{}"}, remove=(shard,))
    count = len(commits(server))
    assert published(home, server).built
    assert server.files(REPO) == before
    assert commits(server)[count:] == ["toy-corner: 1 files", "toy-key: 1 files"]
    assert len(server.received) == len(set(server.received))  # the hub had kept the bytes
    server.put(REPO, {}, remove=("README.md",))
    assert published(home, server).built
    assert server.files(REPO) == before


def test_a_dry_run_needs_no_token_and_uploads_nothing(home, server, monkeypatch, capsys, caplog):
    caplog.set_level("INFO")
    monkeypatch.delenv("HF_TOKEN")
    assert published(home, server, dry_run=True) is None
    lines = table(capsys)
    assert server.repos == {}
    assert {method for method, _, _ in server.log} == {"GET"}
    assert home.of_kind("toy", "_all", "publish") == []
    assert "nothing was uploaded" in caplog.text
    everything = lines["in all"]
    monkeypatch.setenv("HF_TOKEN", WRITER)
    published(home, server, ["corner"], private=False)
    monkeypatch.delenv("HF_TOKEN")
    sent = list(server.received)
    published(home, server, dry_run=True)
    lines = table(capsys)
    assert lines["toy-corner"]["there and equal"] == lines["toy-corner"]["files"]
    assert (lines["toy-corner"]["commits"], lines["toy-key"]["commits"], lines["README.md"]["to send"]) == (
        "0",
        "1",
        "1",
    )
    assert server.received == sent
    monkeypatch.setenv("HF_TOKEN", WRITER)
    published(home, server)
    count = str(len(server.files(REPO).keys() - {".gitattributes"}))
    assert everything == {"files": count, "to send": count, "there and equal": "0", "to remove": "0", "commits": "2"}


def table(capsys):
    """The dry run's table: line → column → text, without sizes."""
    head, *lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    names = ["files", "to send", "there and equal", "to remove", "commits"]
    assert all(name in head for name in names)
    found = {}
    for line in lines:
        *name, files, _, _, send, _, _, equal, remove, commit = line.split()
        found[" ".join(name)] = dict(zip(names, (files, send, equal, remove, commit), strict=True))
    return found


@pytest.mark.slow
def test_dropped_connections_and_failing_answers_do_not_stop_it(home, server):
    server.part_bytes, server.page = 4_000, 3
    faults = [
        server.fail("POST /api/repos/create", 502),
        server.fail("PUT /part/", 0, after=1000),
        server.fail("PUT /large/", 503, headers={"Retry-After": "0"}),
        server.fail("POST .*objects/batch", 429, headers={"Retry-After": "0"}),
        server.fail("POST /api/datasets/.*/commit/", 0, late=True),
        server.fail("POST /api/datasets/.*/commit/", 412, headers={"Retry-After": "0"}),
    ]
    published(home, server)
    assert [fault.times for fault in faults] == [0] * 6
    assert sorted(server.received) == sorted(large(server).values())
    assert len(commits(server)) == 1 + len(TASKS)


def test_kill_9_in_the_middle_and_the_same_command_again_sends_only_what_is_missing(home, server, tmp_path):
    server.hold("PUT /large/")  # one waits; the three that go together with it arrive
    child = subprocess.Popen(
        [sys.executable, *publish_command(home)],
        env=environment(server, tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert server.reached.wait(30)
    while len(server.received) < 3:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    whole = server.received[:3]
    server.opened.set()
    text = python(publish_command(home), server, tmp_path)
    assert "publish toy built" in text
    assert set(server.received) == set(large(server).values())
    assert all(server.received.count(oid) == 1 for oid in whole)
    assert len(large(server)) > 4
    assert WRITER not in text
    assert_nowhere(WRITER, home.root.parent)


def test_a_kill_between_two_tasks_keeps_the_first(home, server, tmp_path):
    server.hold("POST /api/datasets/.*/commit/", skip=1)
    child = subprocess.Popen(
        [sys.executable, *publish_command(home)],
        env=environment(server, tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert server.reached.wait(30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    sent, first = list(server.received), server.files(REPO)
    assert len(commits(server)) == 2
    assert fetched(server, tmp_path / "there").manifest.digest == bins_of(home).manifest.digest
    published(home, server)
    assert server.received == sent
    assert {path for path, file in first.items() if server.files(REPO)[path] != file} == {"README.md"}


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "There is no token for .* hf auth login, or set HF_TOKEN"),
        ("hf_wrong_secret", "does not accept the token .*hf auth login"),
        (READER, "the hub forbids it .*role write for me"),
    ],
)
def test_a_token_that_is_missing_wrong_or_weak_is_an_error_that_says_what_to_do(
    home, server, monkeypatch, token, message
):
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match=message) as caught:
        published(home, server, retries=0)
    assert "hf_wrong" not in str(caught.value)
    assert server.received == []


def test_a_failing_run_prints_and_writes_no_token(home, server, tmp_path):
    wrong = "hf_wrong_secret"
    text = python(publish_command(home), server, tmp_path, status=1, token=wrong)
    assert "publish toy failed: " in text
    assert "[secret]" in text
    assert wrong not in text
    assert_nowhere(wrong, home.root.parent)


def test_a_repository_of_another_kind_is_named(home, server, tmp_path):
    server.create(REPO, "model")
    for work in (lambda: published(home, server), lambda: fetched(server, tmp_path)):
        with pytest.raises(HubError, match=f"{REPO} at .* is a model repository"):
            work()


def test_a_hub_that_cannot_be_reached_is_named(home, server, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nowhere = {"endpoint": f"http://127.0.0.1:{taken.getsockname()[1]}", "retries": 0}
        for work in (lambda: published(home, server, **nowhere), lambda: fetched(server, tmp_path, **nowhere)):
            with pytest.raises(HubError, match="cannot be reached .*Check the network"):
                work()


def test_a_hub_that_goes_on_failing_is_named_and_nothing_is_lost(home, server):
    server.fail("POST .*/commit/", 503, times=2, headers={"Retry-After": "0"})
    with pytest.raises(HubError, match=r"failed 2 times \(503.*Run the same command again"):
        published(home, server, retries=1)
    published(home, server)
    assert sorted(server.received) == sorted(large(server).values())


def test_a_branch_is_made_and_published_to(home, server, tmp_path):
    published(home, server, ["corner"], revision="v2")
    assert set(server.repo(REPO).branches) == {"main", "v2"}
    assert set(server.files(REPO)) == {".gitattributes"}
    oid = server.repo(REPO).branches["v2"]
    assert content(fetched(server, tmp_path, revision=oid)) == content(bins_of(home))


def test_the_card_keeps_what_people_wrote_and_the_other_tasks(home, server):
    published(home, server, ["key"])
    card = server.content(REPO, "README.md").decode()
    card = card.replace("---\n", "---\nlicense: mit\n", 1).replace(f"# {REPO}", "# My data\n\nHand-made.") + "\nMore.\n"
    server.put(REPO, {"README.md": card.encode(), "other/x.txt": b"x"})
    published(home, server, ["corner"])
    card = server.content(REPO, "README.md").decode()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "mit"
    assert [entry["config_name"] for entry in head["configs"]] == [
        "toy-corner_newdata",
        "toy-corner_subset",
        "toy-key_newdata",
    ]
    assert "Hand-made." in card
    assert card.endswith("\nMore.\n")
    assert card.count("repertoire: begin") == 1
    assert "| toy-corner |" in card
    assert "| toy-key (held out) |" in card


def test_shards_of_an_older_cut_go_in_the_same_commit(home, server, monkeypatch):
    published(home, server)
    old = set(server.files(REPO))
    monkeypatch.setattr(pipeline.regent.parquet, "SHARD_BYTES", 3_000)
    shutil.rmtree(home.of_kind("toy", "corner", "parquet")[0].path)
    derived(toy_domain(), home)
    published(home, server)
    there = {path for path in server.files(REPO) if path.startswith("toy-corner_")}
    assert there == shards(home, "corner", "subset").keys() | shards(home, "corner", "newdata").keys()
    assert old & {path for path in old if path.startswith("toy-corner_")} - there
    assert commits(server)[-1].endswith("removed")


def test_a_task_without_parquet_says_which_command_makes_it(home, server):
    shutil.rmtree(home.of_kind("toy", "key", "parquet")[0].path)
    with pytest.raises(ArtifactNotFound, match="stage=parquet domain=toy task=key") as caught:
        published(home, server)
    assert (caught.value.command.stages, caught.value.command.task) == (("parquet",), "key")
    assert server.log == []


def test_inputs_build_makes_what_is_missing_before_it_publishes(home, server, tmp_path):
    shutil.rmtree(home.of_kind("toy", "key", "parquet")[0].path)
    text = python([*publish_command(home), "inputs=build", "hub.dry_run=true"], server, tmp_path, token=None)
    assert "publish key needs parquet first" in text
    assert "publish toy: a dry run, nothing was uploaded" in text
    assert home.of_kind("toy", "key", "parquet")
