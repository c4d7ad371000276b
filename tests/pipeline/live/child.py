"""A program that logs episodes and may kill itself: python -m tests.pipeline.live.child ROOT STOP KILL_AT

Appends the episodes up to number STOP and prints each number once `append` has returned. KILL_AT n kills the program,
as kill -9 does, right before its n-th change of the file system since the log is opened; 0 never does.
"""

import os
import signal
import sys

import numpy as np

from pipeline.live.log import EpisodeLog
from tests.conftest import made_episode

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
PART = 1_500
"""Bytes of a part: about four episodes."""


def numbered(index):
    """An episode whose seed is its number."""
    rng = np.random.default_rng(index)
    return made_episode(rng, int(rng.integers(3, 9)), seed=index)


def opened(root, **settings):
    EpisodeLog.part_bytes = PART
    place = {"domain": "gym", "task": "walk", "dataset": "online-v1", "facts": {"agent": "none"}}
    return EpisodeLog(root, **(place | settings))


def kill_before_change(number):
    """Kill this process before its n-th rename, removal, truncation, new folder or file opened for writing."""
    seen = 0

    def hook(event, arguments):
        nonlocal seen
        if event in CHANGES or (event == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wxa+"):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: seen


def main(root, stop, kill_at):
    changes = kill_before_change(kill_at)
    with opened(root) as log:
        for index in range(len(log), stop):
            log.append(numbered(index))
            print(index, flush=True)
            if index % 5 == 3:
                log.commit()
    print("changes", changes(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
