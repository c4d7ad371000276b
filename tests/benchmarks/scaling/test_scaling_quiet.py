"""What other programs take is all work of the machine less one's own."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.scaling import quiet

SPIN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_others_are_all_work_less_ones_own_by_the_second(monkeypatch):
    """Of 10 s of the clock all cores worked 12 s, this process and its children 9."""
    clocks = {"perf_counter": [100.0, 110.0], "_busy": [5.0, 17.0], "_own": [1.0, 10.0]}
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: clocks["perf_counter"].pop(0))
    for name in ("_busy", "_own"):
        monkeypatch.setattr(quiet, name, lambda name=name: clocks[name].pop(0))
    assert quiet.watched(lambda: "found") == ("found", 0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_a_childs_work_is_counted_as_own_and_as_work_of_the_machine():
    own, busy, began = quiet._own(), quiet._busy(), time.perf_counter()
    subprocess.run([sys.executable, "-c", SPIN], check=True)
    assert quiet._own() - own >= 0.3
    assert 0.25 <= quiet._busy() - busy <= (time.perf_counter() - began) * (os.cpu_count() or 1) + 0.1
