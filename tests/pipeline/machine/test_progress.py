"""What a run says goes on where its log file cannot be written."""

import logging
from pathlib import Path

import pytest

from pipeline.machine.progress import RunLog


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_says_so_in_one_line(capsys):
    handler = RunLog("/dev/full")
    for number in range(3):
        handler.handle(logging.makeLogRecord({"msg": f"message {number}"}))
    with pytest.raises(OSError, match="No space left"):
        handler.close()  # at the end of a program, logging itself passes over that
    assert capsys.readouterr().err == "/dev/full lacks messages from here on: No space left on device\n"
