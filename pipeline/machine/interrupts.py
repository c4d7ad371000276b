"""Ctrl-C and SIGTERM: the main process alone answers them, by an exception that closes everything on its way out.

A terminal sends Ctrl-C to all processes of a command at once. Children of this process never see it, for they inherit
that it is blocked: not the workers, not a sweep's jobs, and not while they start, when they could only print a
traceback. It reaches a thread here that waits for it and interrupts the main thread, which then ends its children.
"""

from __future__ import annotations

import signal
import threading

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The user, or the system, ends this process."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number
        """The exit status that shells give to a process that a signal has ended: 130 or 143."""


def hold_interrupts() -> None:
    """Let interrupts wait, for as long as nobody is there to answer them. Called before the first slow import."""
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)


def answer_interrupts() -> None:
    """From now on, and for those that have waited: raise Stopped in the main thread, once; later ones are ignored."""
    caught: list[int] = []

    def stop(number: int, _: object) -> None:
        for each in INTERRUPTS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(caught[0] if caught else number)

    def wait() -> None:
        caught.append(signal.sigwait([signal.SIGINT]))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)  # wakes it out of a system call, too

    for each in INTERRUPTS:
        signal.signal(each, stop)
    threading.Thread(target=wait, daemon=True, name="interrupts").start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def answer_as_child() -> None:
    """In a forked child, before anything else, with SIGTERM held: its parent alone ends it, by SIGTERM, here Stopped.

    Ctrl-C never comes here. Whoever has launched the parent may talk to it by other signals and have handlers for them
    in it; they are sent to every process of a job, and here they are ignored.
    """

    def stop(number: int, _: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped(number)

    for each in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def start_tracker() -> None:
    """Start what multiprocessing starts beside a first child, its resource tracker, and leave interrupts as they are.

    Left to itself it would let them through again, and the children that follow would see them.
    """
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
