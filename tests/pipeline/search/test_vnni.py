"""When products of bytes are used; what they give is in test_bytes."""

from __future__ import annotations

import os
import subprocess
import sys


def test_no_instruction_is_emitted_that_a_user_keeps_numba_from():
    code = "from pipeline.search.vnni import has_vnni; print(has_vnni())"
    answer = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_ENABLE_AVX": "0"}, capture_output=True, text=True
    )
    assert answer.stdout == "False\n", answer.stderr
