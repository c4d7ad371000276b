"""A Slurm of one node, this one, for as long as a command runs: to try +cluster=slurm, and to test it.

python tools/slurm.py COMMAND ...      python tools/slurm.py python run.py -m ... +cluster=slurm cluster.cores=1
python tools/slurm.py --install        Debian's packages alone, which the other call installs, too, where it may

It is apart from a Slurm that the machine may have: its configuration, keys, ports and files are its own, in a folder
that goes away, and it runs as the user who starts it. Jobs that need more than their memory are killed within seconds;
to their cores they are not held.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from getpass import getuser
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
PARTITION = "batch"
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
"""Where the programs lie: users have no sbin on their PATH."""

SECONDS = 60
"""The longest wait for something that takes a moment."""

CONFIGURATION = """\
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000,bf_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=10
KillWait=5
{hardware} NodeAddr=127.0.0.1
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NotHere(Exception):
    """A Slurm cannot be had on this machine; the message says why."""


def install() -> None:
    """Install Debian's packages where they are missing. Raises NotHere where that cannot be done."""
    if not (missing := [name for name in PROGRAMS if found(name) is None]):
        return
    line = f"apt-get install --yes --no-install-recommends {' '.join(PACKAGES)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NotHere(f"these programs are missing: {', '.join(missing)}. On Debian: sudo {line}")
    for command in ("apt-get update --quiet=2", line):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command.split(), env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHere(f"`{command}` failed: {done.stderr.strip() or done.stdout.strip()}")
    if missing := [name for name in PROGRAMS if found(name) is None]:
        raise NotHere(f"these programs are missing: {', '.join(missing)}")


def found(program: str) -> str | None:
    """Where a program lies; None where it is not installed."""
    return shutil.which(program, path=PLACES)


@contextmanager
def one_node(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm in an empty folder; gives the environment in which its commands reach it. Raises NotHere."""
    install()
    configuration = written(folder)
    environment = {**os.environ, "PATH": PLACES, "SLURM_CONF": str(configuration)}
    with ExitStack() as running:
        munge = folder / "munge"
        files = [f"--{name}={munge / file}" for name, file in MUNGE.items()]
        running.enter_context(daemon([found("munged"), "--foreground", "--force", *files], environment, folder))
        wait_for((munge / "socket").exists, "munged", folder)
        running.enter_context(daemon([found("slurmctld"), "-D"], environment, folder))
        running.enter_context(node(environment, folder))
        running.callback(end_jobs, environment)
        yield environment


MUNGE = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
"""Options of munged and the files that they name."""


def written(folder: Path) -> Path:
    """The configuration and the key of a Slurm in this folder."""
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700, parents=True)
    (folder / "munge").chmod(0o755)
    key = folder / "munge" / "key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    seen = subprocess.run([found("slurmd"), "-C"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    host = next(word.partition("=")[2] for word in seen.split() if word.startswith("NodeName="))
    controller, port = free_ports(2)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder, host=host, user=getuser(), controller=controller, node=port, hardware=seen,
            partition=PARTITION,
        )
    )  # fmt: skip
    return configuration


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def node(environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The node's daemon, from when the controller has seen it."""
    with daemon([found("slurmd"), "-D"], environment, folder) as process:
        wait_for(lambda: asked(environment, "sinfo", "--noheader", "--format=%T") in UP, "slurmd", folder)
        yield process


UP = ("idle", "mixed", "allocated")
"""States of a node that takes jobs."""


@contextmanager
def daemon(
    command: Sequence[str | None], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the block; what it prints is in the folder."""
    with (folder / "printed.log").open("ab") as printed:
        process = subprocess.Popen(
            list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_jobs(environment: dict[str, str]) -> None:
    """End all jobs, and wait until they are gone."""
    asked(environment, "scancel", "--user", getuser())
    end = time.monotonic() + SECONDS
    while asked(environment, "squeue", "--noheader") and time.monotonic() < end:
        time.sleep(0.2)


def asked(environment: dict[str, str], *command: str) -> str:
    """What one of Slurm's commands prints."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def wait_for(there: object, name: str, folder: Path) -> None:
    """Wait until a condition holds. Raises NotHere with the end of the logs where it never does."""
    end = time.monotonic() + SECONDS
    while not there():  # type: ignore[operator]
        if time.monotonic() > end:
            lines = [line for log in sorted(folder.glob("*.log")) for line in log.read_text().splitlines()[-8:]]
            raise NotHere("\n".join([f"{name} does not start", *lines]))
        time.sleep(0.1)


def main(words: list[str]) -> int:
    """Run a command beside a Slurm of its own; its exit status."""
    try:
        if words == ["--install"]:
            install()
            return 0
        if not words:
            print(__doc__)
            return 1
        with (
            tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
            one_node(Path(folder)) as environment,
        ):
            return run(words, environment)
    except NotHere as error:
        print(f"No Slurm here: {error}", file=sys.stderr)
        return 1


def run(words: list[str], environment: dict[str, str]) -> int:
    """Run a command, which answers Ctrl-C itself and is told of SIGTERM."""
    process = subprocess.Popen(words, env=environment)
    answers = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: lambda *_: process.terminate()}
    before = {number: signal.signal(number, answer) for number, answer in answers.items()}
    try:
        status = process.wait()
        return status if status >= 0 else 128 - status
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
