"""Which storage: by name, or by what lies in a folder."""

import pytest

from pipeline.errors import DamagedArtifact, UnknownName
from pipeline.storage.choice import open_arrays, storage_named


def test_a_folder_of_no_storage_is_refused(tmp_path):
    with pytest.raises(DamagedArtifact, match=r"neither zarr\.json nor shapes\.json"):
        open_arrays(tmp_path)


def test_an_unknown_storage_lists_those_that_exist():
    with pytest.raises(UnknownName, match="bin, zarr"):
        storage_named("hdf5")
