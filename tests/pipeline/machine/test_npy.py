"""What the header of an .npy file says, and headers that nobody reads."""

import io

import numpy as np
import pytest
from numpy.lib import format as npy

from pipeline.machine.npy import read_npy_header


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_after_the_header_stand_the_numbers(version: tuple[int, int]):
    file = io.BytesIO()
    npy.write_array(file, np.asfortranarray([[1, 2, 3], [4, 5, 6]], np.int16), version)
    file.seek(0)
    assert read_npy_header(file) == ((2, 3), True, np.dtype(np.int16))
    assert file.read() == np.int16([1, 4, 2, 5, 3, 6]).tobytes()


@pytest.mark.parametrize("start", [b"", b"no array", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x01\x00\x10\x00{"])
def test_what_is_no_header_is_a_value_error(start: bytes):
    with pytest.raises(ValueError, match=r"EOF|magic|version \(3, 0\)"):
        read_npy_header(io.BytesIO(start))
