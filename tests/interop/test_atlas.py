"""Embedding Atlas opens what we write, and shows the neighbours that are in it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.formats.atlas import AtlasFormat
from tests.interop.held import held_episodes, laid
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_atlas(file, page):
    import json
    from pathlib import Path

    import pandas as pd
    from click.testing import CliRunner
    from embedding_atlas.cli import main

    words = [file, "--x", "x", "--y", "y", "--neighbors", "neighbors", "--export-application", page]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert Path(page, "index.html").is_file()
    shown = pd.read_parquet(Path(page, "data", "dataset.parquet"))
    ids = [list(each["ids"]) for each in shown["neighbors"]]
    facts = json.dumps(json.loads(Path(page, "data", "metadata.json").read_text()))
    return {"ids": ids, "x": shown["x"], "y": shown["y"], "episode": shown["episode"], "facts": facts}


@pytest.mark.parametrize("picture", [False, True])
def test_it_makes_a_page_of_the_file_as_it_is(tmp_path: Path, picture: bool):
    file = laid(AtlasFormat(neighbours=5), tmp_path, held_episodes(picture))
    read = read_by("atlas", by_atlas, file, tmp_path / "page")
    table = pq.read_table(file)
    assert read["ids"].tolist() == [each["ids"] for each in table["neighbors"].to_pylist()]
    for name in ("x", "y", "episode"):
        np.testing.assert_array_equal(read[name], table[name].to_numpy())
    assert '"neighbors": "neighbors"' in str(read["facts"])
