"""What lies beside an agent of RL Zoo and says how it was trained: `config.yml`, `args.yml`, `env_kwargs.yml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline.errors import InvalidInput

CONFIG, ARGS, KWARGS = SETTINGS = ("config.yml", "args.yml", "env_kwargs.yml")
"""The algorithm's settings and the wrappers; the command line, with the environment's id; the environment's options."""

NONE = "Go on without it: policy.settings=false"

LARGEST = 64 * 2**10
"""Bytes of such a file; RL Zoo's have at most 3,000, and reading takes long."""

DEEPEST_STACK = 1000
"""Observations; a file that names more is damaged."""


@dataclass(frozen=True)
class Training:
    """What RL Zoo wrote down.

    Attributes:
        file: where it was read.
        env_id: of the environment, such as PongNoFrameskip-v4; empty where no file says it.
        env_kwargs: the environment's options.
        wrappers: names of its wrappers, innermost first, with their options.
        frame_stack: observations that were stacked; None for none.
        normalizes: whether observations were scaled with VecNormalize's statistics.
    """

    file: Path
    env_id: str
    env_kwargs: Mapping[str, Any]
    wrappers: Mapping[str, Mapping[str, Any]]
    frame_stack: int | None
    normalizes: bool


def settings_beside(agent: Path) -> Path | None:
    """The folder of the files that belong to an agent's zip: its own, one of its name in it, or the only one in it.

    Raises InvalidInput where several folders might be meant.
    """
    there = [path for path in (*agent.parent.glob("*.yml"), *agent.parent.glob("*/*.yml")) if path.is_file()]
    place = settings_place(agent.name, [path.relative_to(agent.parent).as_posix() for path in there])
    return None if place is None else agent.parent / place


def settings_place(agent: str, there: Sequence[str]) -> str | None:
    """The folder, relative to that of the zip, in which those of the names `there` lie that belong to it."""
    folders = sorted({str(PurePosixPath(name).parent) for name in there if PurePosixPath(name).name in (CONFIG, ARGS)})
    for own in (".", agent.removesuffix(".zip")):
        if own in folders:
            return own
    below = [folder for folder in folders if "/" not in folder]
    if len(below) > 1:
        raise InvalidInput(
            f"Which settings belong to {agent}? Beside it are {', '.join(f'{each}/{CONFIG}' for each in below)}.\n"
            f"Choose: policy.settings=FILE.yml, or policy.settings=false for none."
        )
    return below[0] if below else None


def read_training(file: Path) -> Training:
    """What `config.yml` says, and the two files beside it. Nothing that they name is imported or run.

    Raises InvalidInput for files that are no settings of RL Zoo.
    """
    config, args, kwargs = (_read(file.with_name(name)) for name in (file.name, ARGS, KWARGS))
    given = {**_mapping(args, "env_kwargs"), **kwargs}
    stack, normalize = config.get("frame_stack"), config.get("normalize")
    return Training(
        file,
        env_id=env if isinstance(env := args.get("env"), str) else "",
        env_kwargs=given,
        wrappers=dict(_wrappers(config.get("env_wrapper"), file)),
        frame_stack=stack if isinstance(stack, int) and 1 < stack <= DEEPEST_STACK else None,
        normalizes=_scales_observations(normalize),
    )


def _wrappers(value: Any, file: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """One name, or a list of names and of mappings of one name to its options."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    found: list[tuple[str, Mapping[str, Any]]] = []
    for each in listed:
        if isinstance(each, str):
            found.append((each, {}))
        elif isinstance(each, dict) and len(each) == 1 and isinstance(next(iter(each)), str):
            name, options = next(iter(each.items()))
            found.append((name, options if isinstance(options, dict) else {}))
        else:
            raise InvalidInput(f"{file} names wrappers in another way than RL Zoo does. {NONE}")
    return found


def _scales_observations(value: Any) -> bool:
    """`normalize` is true, a mapping of VecNormalize's options, or such a mapping as Python text."""
    if isinstance(value, dict):
        return value.get("norm_obs", True) is not False
    if isinstance(value, str):
        return "norm_obs=False" not in value.replace(" ", "").replace("'", "").replace('"', "").replace(":", "=")
    return value is True


def _mapping(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> Mapping[str, Any]:
    """A file's mapping; an empty one where there is no file."""
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        found = yaml.load(data, _Plain)
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        why = str(error).replace("\n", " ").strip()
        raise InvalidInput(f"{path} cannot be read: {why or type(error).__name__}\n{NONE}") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} holds no settings by name: it is not RL Zoo's. {NONE}")
    return found


class _Plain(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """YAML as plain data. Python's own tags make nothing: an ordered dictionary is read as what it lists.

    Mappings are not merged into others (`<<`): a few lines of that can fill the memory.
    """

    def flatten_mapping(self, node: yaml.Node) -> None:
        """Nothing is merged."""


def _pairs(loader: yaml.SafeLoader, node: yaml.Node) -> dict[Any, Any]:
    """`!!python/object/apply:collections.OrderedDict`: a list that holds the list of the pairs."""
    given = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else [None]
    pairs = given[0] if len(given) == 1 else None if given else []
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ValueError("an ordered dictionary is no list of pairs")
    if any(isinstance(key, list | dict) for key, _ in pairs):
        raise ValueError("a list or a mapping is no name of a setting")
    return dict(pairs)


def _sequence(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any]:
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else []


def _nothing(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> None:
    """Any other Python object, such as a device or a class: no setting that is read here."""


_Plain.add_constructor("tag:yaml.org,2002:python/object/apply:collections.OrderedDict", _pairs)
_Plain.add_constructor("tag:yaml.org,2002:python/tuple", _sequence)
_Plain.add_multi_constructor("tag:yaml.org,2002:python/", _nothing)
