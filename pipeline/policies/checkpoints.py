"""Which agents a path means: a zip, the checkpoints of a folder, or a file on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.policies.normalize import numbered, usual_place
from pipeline.policies.sb3.zip import AgentFile, is_agent
from pipeline.policies.sb3.zoo import SETTINGS, settings_place

HIGHEST = -1
"""Stands for the checkpoint with the most steps."""

BEST = "best_model.zip"
"""What EvalCallback keeps."""

_ON_HUB = re.compile(r"(?:hf://)?([\w.-]+/[\w.-]+?)(?:@([\w./-]+?))?/([^@]+\.zip)")


@dataclass(frozen=True)
class Checkpoint:
    """An agent at one moment of its training. `name` is such as ppo-2000000; `step` is None where nothing tells."""

    file: Path
    step: int | None
    name: str


def checkpoints(
    path: str | Path | None = None, checkpoints: int | str | Sequence[int] | None = None, algorithm: str | None = None
) -> list[Checkpoint]:
    """The asked checkpoints of `path`, in the asked order. Looks into the zips, but runs nothing that is in them.

    `path` is a zip; or a folder, of which the numbered checkpoints count, else best_model.zip, else its only agent; or,
    where there is no such file, OWNER/REPO/FILE.zip on the hub (OWNER/REPO@REVISION/FILE.zip), which is downloaded
    together with its VecNormalize statistics and RL Zoo's settings.

    `checkpoints` is a step, a list of steps, -1 for the highest, `all`, or None: the file, or the highest of a folder.

    Raises InvalidInput for a path without an agent, and for a step that is not there.
    """
    if path is None:
        raise InvalidInput(
            "Which agent? policy.path=FILE.zip, a folder of checkpoints, or OWNER/REPO/FILE.zip on the hub"
        )
    found = {each.step: each for each in (_described(file, algorithm) for file in _files(path))}
    steps = [step for step in found if step is not None]
    if checkpoints is None:
        return [found[max(steps)] if steps else found[None]]
    if checkpoints == "all":
        return [found[step] for step in sorted(steps)] or [found[None]]
    chosen = []
    for asked in (
        checkpoints if isinstance(checkpoints, Sequence) and not isinstance(checkpoints, str) else [checkpoints]
    ):
        step = max(steps, default=None) if asked == HIGHEST else asked
        if step not in found:
            there = ", ".join(str(each) for each in sorted(steps)) or "one without a step"
            raise InvalidInput(f"There is no checkpoint {asked} in {path}. There are: {there}. -1 is the highest.")
        chosen.append(found[step])
    return list(dict.fromkeys(chosen))


def by_dataset(found: Sequence[Checkpoint], dataset: str | None, one: bool = False) -> dict[str, Checkpoint]:
    """The checkpoints by the names of the datasets that they make: `ppo-32-v1`, or `dataset` where that means one.

    Raises InvalidInput where `dataset` names none of several, and where there are several but only `one` can be used.
    """
    named = {f"{each.name}-v1": each for each in found}
    if dataset and len(named) == 1:
        named = {dataset: next(iter(named.values()))}
    elif same := next((each for each in named.values() if _is_version(dataset, each)), None):
        named = {str(dataset): same}
    elif dataset:
        raise InvalidInput(
            f"dataset={dataset} names one dataset, the checkpoints make {', '.join(named)}.\nAll: {again(dataset=None)}"
        )
    if one and len(named) > 1:
        first = again(dataset=next(iter(named)))
        raise InvalidInput(f"A repository holds one dataset of a task: {', '.join(named)}.\nThe first: {first}")
    return named


def _is_version(dataset: str | None, checkpoint: Checkpoint) -> bool:
    """Whether `dataset` is a version of what a checkpoint makes: `ppo-32-v2` of ppo-32."""
    return re.fullmatch(rf"{re.escape(checkpoint.name)}-v\d+", dataset or "") is not None


def only(path: str | Path | None = None) -> list[Checkpoint]:
    """A file that is one whole policy, named after itself. Raises InvalidInput where there is none."""
    if path is None:
        raise InvalidInput("Which network? policy.path=FILE.pt (torch.jit.save) or FILE.pt2 (torch.export.save)")
    file = Path(path).expanduser()
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}: policy.path=FILE.pt or FILE.pt2")
    return [Checkpoint(file, None, file.stem)]


def _described(file: Path, algorithm: str | None) -> Checkpoint:
    agent = AgentFile(file, algorithm)
    return Checkpoint(file, agent.step, agent.name)


def _files(path: str | Path) -> list[Path]:
    """One file, or the numbered ones of a folder."""
    local = Path(path).expanduser()
    if local.is_dir():
        return _files_in(local)
    for file in (local, local.with_name(f"{local.name}.zip")):
        if file.is_file():
            return [file]
    on_hub = _ON_HUB.fullmatch(str(path))
    if on_hub:
        return [_download(on_hub[1], on_hub[2], on_hub[3])]
    near = _zips(local.parent) if local.parent.is_dir() else []
    there = f" {local.parent} has {', '.join(each.name for each in near[:6])}." if near else ""
    raise InvalidInput(
        f"There is no agent {path}.{there} Give a zip, a folder of checkpoints, or OWNER/REPO/FILE.zip on the hub."
    )


def _files_in(folder: Path) -> list[Path]:
    zips = _zips(folder)
    steps: dict[int, list[str]] = {}
    for file in zips:
        _, step = numbered(file.name)
        if step is not None:
            steps.setdefault(step, []).append(file.name)
    if twice := next((names for names in steps.values() if len(names) > 1), None):
        raise InvalidInput(
            f"{folder} has several checkpoints of one step: {', '.join(twice)}. Give one: policy.path=FILE"
        )
    if steps:
        return [folder / names[0] for _, names in sorted(steps.items())]
    if (folder / BEST).is_file():
        return [folder / BEST]
    agents = [file for file in zips if is_agent(file)]
    if len(agents) != 1:
        what = f"several agents: {', '.join(file.name for file in agents)}" if agents else "no agent"
        below = sorted({file.parent.name for file in folder.glob("*/*.zip")})
        hint = f" There are zips in its folders {', '.join(below[:6])}." if below and not agents else ""
        raise InvalidInput(f"{folder} has {what}.{hint} Give one: policy.path=FILE.zip")
    return agents


def _zips(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.zip") if file.is_file())


def _download(repo: str, revision: str | None, name: str) -> Path:
    """A zip from the hub, in the hub client's cache, with its statistics and the settings of its training beside it.

    Without a connection, a zip that is in the cache will do: it was put there last.
    """
    # imported here because a local agent needs no hub client, and loading it takes a second
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    # the HTTP library's own error (which library, depends on the client's version), OSError, a name it refuses
    failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, ValueError, RuntimeError, OSError)
    try:
        try:
            info = HfApi().model_info(repo, revision=revision)
        except HfHubHTTPError:
            raise  # the hub has answered
        except failures:
            return Path(hf_hub_download(repo, name, revision=revision, local_files_only=True))
        there = [each.rfilename for each in info.siblings or []]
        if name not in there:
            zips = [each for each in there if each.endswith(".zip")]
            raise FileNotFoundError(f"The repository has {', '.join(zips[:8]) or 'no zip'}.")
        for each in (*_beside(name, there), name):
            file = Path(hf_hub_download(repo, each, revision=revision))
            if info.sha not in file.parts:
                raise RuntimeError("It was changed on the hub at this moment: run again.")
    except failures as error:
        raise InvalidInput(
            f"{name} of {repo} could not be downloaded: {str(error).strip() or type(error).__name__}\n"
            f"It is no local file either. Check policy.path=OWNER/REPO/FILE.zip, and the network (HF_ENDPOINT)."
        ) from error
    return file


def _beside(name: str, there: Sequence[str]) -> list[str]:
    """The VecNormalize statistics and RL Zoo's settings that lie in the repository at one of the usual places."""
    folder = "" if PurePosixPath(name).parent == PurePosixPath() else f"{PurePosixPath(name).parent}/"
    near = [each.removeprefix(folder) for each in there if each.startswith(folder)]
    agent = PurePosixPath(name).name
    statistics, settings = usual_place(agent, near), settings_place(agent, near)
    wanted = [statistics] if statistics else []
    if settings is not None:
        wanted += [place for each in SETTINGS if (place := str(PurePosixPath(settings) / each)) in near]
    return [folder + place for place in wanted]
