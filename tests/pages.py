"""Pages of the toy for the tests: how they are made, and what a person reads on them."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape
from typing import Any

import numpy as np
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.envs.toy import Toy
from pipeline.errors import NoRenderer
from pipeline.regent.recipe import Recipe
from stages import distances, retrieval
from tests.conftest import toy_domain

DOMAIN = toy_domain()
NO_PICTURES = "there is no canvas here & no paint"

NO_PICTURES = "there is no canvas here & no paint"


class Blind(Toy):
    """Cannot draw."""

    def render(self) -> np.ndarray:
        raise NoRenderer(NO_PICTURES)


def settings(workspace: Workspace, domain: Domain = DOMAIN, force: bool = False, **asked: Any) -> dict[str, Any]:
    """What a stage of one task is called with: the toy's `maze` unless another is asked for."""
    recipe = Recipe(**{"domain": domain, "task": "maze", "dataset": "scripted-v1"} | asked)
    return {"recipe": recipe, "workspace": workspace, "force": force}


def prepared(workspace: Workspace, domain: Domain = DOMAIN, **asked: Any) -> None:
    """Retrieval and distances."""
    for stage in (retrieval, distances):
        stage.run(**settings(workspace, domain, **asked))


def figures_of(page: Artifact) -> dict[str, Any]:
    return json.loads((page.path / "figures.json").read_text())


def html_of(page: Artifact) -> str:
    return (page.path / "page" / "index.html").read_text()


def text_of(html: str) -> str:
    """What a person reads: no tags, single spaces, thin spaces kept."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def facts_of(html: str) -> dict[str, str]:
    pairs = re.findall(r"<dt>([^<]+)</dt>\s*<dd>([^<]+)", html)
    return {name.strip(): value.strip() for name, value in pairs}


def pictures_of(html: str) -> list[tuple[str, np.ndarray]]:
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]+)">', html)
    return [(alt, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))) for data, alt in found]
