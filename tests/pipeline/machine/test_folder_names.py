"""Names of folders that no array can be written below."""

import os

import pytest

from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.machine.folder_names import require_utf8_root, require_utf8_words

ODD = os.fsdecode(b"/data/\xe9t\xe9")


def test_a_root_that_is_no_utf8_is_refused_wherever_it_comes_from(tmp_path, monkeypatch):
    for root in ("/data/été", "outputs", "~/data"):
        Workspace(root)
    with pytest.raises(InvalidInput, match=r"paths\.root=/data/\\xe9t\\xe9: the name .* and \\xe9 is not"):
        Workspace(ODD)
    (tmp_path / ODD[1:]).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / ODD[1:])
    with pytest.raises(InvalidInput, match=r"\\xe9t\\xe9/outputs: the name"):
        require_utf8_root("outputs")


def test_the_suggestion_has_another_root_in_its_place():
    words = ("stage=status", f'paths.root="{ODD}"')
    with user_typed(Typed(words)), pytest.raises(InvalidInput) as error:
        require_utf8_words(words)
    assert str(error.value).endswith("take another: python run.py stage=status paths.root=FOLDER")
    require_utf8_words(("stage=status", "paths.root=été", f"source.path={ODD}"))
