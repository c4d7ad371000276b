"""A shell in which `python run.py` starts at once: a warm process forks for each command instead of starting anew.

Lines are pasted into a real bash, which quotes, splits and chains as ever; only its word `python` is a function that
hands its arguments to the warm process. Run as a program, this file is that process.
"""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
TOY = ("domain=toy", "task=corner", "dataset=d-v1")
EXPORT = ("stage=export", *TOY)
COMMAND = re.compile(r"((?:rm -r .*? && |PYTHONPATH=\S+ )?python \S*run\.py .*?)\s*$", re.MULTILINE)
PYTHON = """python() {
  { printf '%s\\0' "$PWD" "$#" "$@"; env -0; } > "$WARM/ask"
  local status; read -r status < "$WARM/answer"; cat "$WARM/text"; return "$status"
}
"""


class WarmShell:
    """A user's shell in a folder that is not the project's, with artifacts below a relative path with a space.

    `warm` are modules of pipeline that its commands import, besides what most commands do.
    """

    def __init__(self, folder: Path, *warm: str) -> None:
        self.folder, self._pipes = folder, folder / ".warm"
        self._pipes.mkdir(parents=True)
        for name in ("ask", "answer"):
            os.mkfifo(self._pipes / name)
        self._server = subprocess.Popen([sys.executable, __file__, str(self._pipes), *warm], cwd=folder)

    def beside_a_copy(self, folder: Path) -> Self:
        """A shell of the same warm process, beside a copy of all files. What it does leaves this one as it is."""
        shutil.copytree(self.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(self._pipes.name))
        shell = copy(self)
        shell.folder = folder
        return shell

    def close(self) -> None:
        """End the warm process."""
        self._server.kill()
        self._server.wait()

    def paste(self, line: str) -> tuple[int, str]:
        """The exit status and the text of a line."""
        done = subprocess.run(
            ["bash", "-c", PYTHON + line],
            **{"capture_output": True, "text": True, "cwd": self.folder, "timeout": 120, "check": False},
            env={**os.environ, "WARM": str(self._pipes)},
        )
        return done.returncode, done.stdout + done.stderr

    def run(self, *words: str, status: int = 0) -> str:
        """The text of a command with these words."""
        found, text = self.paste(shlex.join(["python", str(ROOT / "run.py"), *words, "paths.root=my data"]))
        assert found == status, text
        return text

    def suggested(self, *words: str, status: int = 1) -> list[str]:
        """The commands in the message of one that fails."""
        return COMMAND.findall(self.run(*words, status=status))

    def pasted(self, line: str, **fill: str) -> str:
        """The text of a suggested command, which succeeds. `fill` is what the user puts in the place of a word."""
        for word, value in fill.items():
            assert word in line, line
            line = line.replace(word, value)
        assert "paths.root=my data" in shlex.split(line)
        status, text = self.paste(line)
        assert status == 0, f"{line}\n{text}"
        return text


@contextmanager
def shell_beside_a_dataset(folder: Path) -> Iterator[WarmShell]:
    """A shell, and the dataset `d-v1` of two episodes of `TOY`."""
    shell = WarmShell(folder)
    try:
        shell.run("stage=collect", *TOY, "workers=1", "policy=random", "episodes=2")
        yield shell
    finally:
        shell.close()


def _serve(pipes: Path, *warm: str) -> None:
    for module in ("envs.toy", "report.page", "regent.parquet", "regent.retrieve", "rollout.workers", *warm):
        import_module(f"pipeline.{module}")  # what most commands import
    while True:
        with (pipes / "ask").open("rb") as ask:
            cwd, count, *rest = ask.read().decode().split("\0")[:-1]
        words, variables = rest[: int(count)], rest[int(count) :]
        child = os.fork()
        if not child:
            _run(pipes / "text", cwd, words, dict(each.split("=", 1) for each in variables))
        _, status = os.waitpid(child, 0)
        (pipes / "answer").write_text(f"{os.waitstatus_to_exitcode(status)}\n")


def _run(text: Path, cwd: str, words: list[str], variables: dict[str, str]) -> None:
    """What `python words` does, in this forked process, which ends with it."""
    with text.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:0] = [str(Path(cwd, each)) for each in variables.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.argv = words
    status = 0
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _serve(Path(sys.argv[1]), *sys.argv[2:])
