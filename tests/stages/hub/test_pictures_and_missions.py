"""Pictures and missions go to the hub and come back as toy vectors do."""

from pipeline.dataset.workspace import Workspace
from pipeline.hub.connection import Hub
from pipeline.regent.recipe import Recipe
from pipeline.sources.jat.source import JatSource
from stages import fetch, publish
from tests.jat_files import make_missions, make_screens
from tests.pipeline.embedding.encoders import embedding
from tests.stages.hub.conftest import REPO, content
from tests.stages.test_regent_jat import ATARI, LENGTHS, domain, made


def round_trip(built, network, server, tmp_path):
    hub = Hub(repo_id=REPO, endpoint=server.url)
    recipe = Recipe(built, None, "jat-v1", embedding=network)
    publish.run(recipe=recipe, workspace=Workspace(str(tmp_path / "home")), hub=hub, force=False)
    elsewhere = Workspace(str(tmp_path / "elsewhere"))
    return fetch.run(domain=built, task=built.tasks[0], workspace=elsewhere, hub=hub, force=False)


def test_embeddings_come_back_byte_for_byte(server, tmp_path):
    make_screens(tmp_path / "jat", LENGTHS, width=8, size=(18, 16))
    pong, home = domain("atari", "pong", **ATARI), Workspace(str(tmp_path / "home"))
    artifacts = made(pong, JatSource(str(tmp_path / "jat"), row_width=8), home, embedding())
    found = round_trip(pong, embedding(), server, tmp_path)
    assert content(found) == content(artifacts["bins"])
    assert "embeddings_small_8.bin" in content(found)


def test_missions_come_back_byte_for_byte_with_a_lookup_that_skips_rows(server, tmp_path):
    lengths = [5, 9, 3, 12, 7, 4, 8, 6, 10, 5, 3, 9] * 2
    make_missions(tmp_path / "jat", lengths, width=8)
    goto = domain("babyai", "go-to", row_width=8, demos=2, neighbours=20, states=40, missions=True)
    artifacts = made(goto, JatSource(str(tmp_path / "jat"), row_width=8), Workspace(str(tmp_path / "home")))
    assert content(round_trip(goto, None, server, tmp_path)) == content(artifacts["bins"])
