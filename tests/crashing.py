"""The toy domain whose simulator ends the process of the job, in the way that a variable says for a task."""

import ctypes
import os
import signal
import sys

from pipeline.envs.toy import Toy

ENDS = {
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(0),  # a status that says all is well
    "leave": lambda: sys.exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}
WORDS = ("domain=toy", "domain.environment._target_=tests.crashing.Crashing")


class Crashing(Toy):
    """Crashes in the process of the job, where a dataset's identity is asked for, never in a worker."""

    def __init__(self, task, **settings):
        super().__init__(task, **settings)
        self._task = task

    def identity(self):
        if how := os.environ.get(f"CRASH_{self._task.upper()}"):
            ENDS[how]()
        return super().identity()
