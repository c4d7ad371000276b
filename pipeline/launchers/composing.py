"""The settings of each job of a sweep, composed once: Hydra composes them before the sweep, to see whether they can be,
and again for the job; and it reads the same files each time. For tasks that are finished that is most of the work.
"""

from __future__ import annotations

import pickle
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

READ = ("file", "pkg")
"""Schemes of sources that read YAML files."""


class ComposedOnce(ConfigLoader):
    """Hydra's loader, that keeps what it composes before the sweep until the jobs begin, and gives it to them."""

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._kept: dict[tuple[str, ...], bytes] = {}  # pickled they take 35 kB each, not 700
        self._begun = False
        repository = getattr(loader, "repository", None)
        if repository is not None:  # of Hydra's own loader
            repository.sources = [_read_once(source) for source in repository.sources]

    @staticmethod
    def put_into(context: HydraContext) -> ComposedOnce:
        """Let a sweep compose by such a loader from now on."""
        if not isinstance(context.config_loader, ComposedOnce):
            context.config_loader = ComposedOnce(context.config_loader)
        return context.config_loader

    def begin(self) -> None:
        """The jobs begin."""
        self._begun = True

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        if self._begun:
            composed: DictConfig = pickle.loads(self.pickled(master_config, sweep_overrides))
            return composed
        composed = self._loader.load_sweep_config(master_config, sweep_overrides)
        self._kept[tuple(sweep_overrides)] = pickle.dumps(composed)
        return composed

    def pickled(self, master_config: DictConfig, sweep_overrides: list[str]) -> bytes:
        """The settings of a job, for another process; they are not kept any longer."""
        kept = self._kept.pop(tuple(sweep_overrides), None)
        return kept or pickle.dumps(self._loader.load_sweep_config(master_config, sweep_overrides))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def load_configuration(self, *arguments: Any, **named: Any) -> DictConfig:
        return self._loader.load_configuration(*arguments, **named)

    def get_search_path(self) -> ConfigSearchPath:
        return self._loader.get_search_path()

    def get_sources(self) -> list[ConfigSource]:
        return self._loader.get_sources()

    def list_groups(self, parent_name: str) -> list[str]:
        return self._loader.list_groups(parent_name)

    def get_group_options(self, *arguments: Any, **named: Any) -> list[str]:
        return self._loader.get_group_options(*arguments, **named)

    def compute_defaults_list(self, config_name: str | None, overrides: list[str], run_mode: RunMode) -> Any:
        return self._loader.compute_defaults_list(config_name, overrides, run_mode)


def _read_once(source: ConfigSource) -> ConfigSource:
    return ReadOnce(source) if source.scheme() in READ else source


class ReadOnce(ConfigSource):
    """A source of settings that reads and parses each file at its first use in this process."""

    def __init__(self, source: ConfigSource) -> None:
        self._source, self.provider, self.path = source, source.provider, source.path
        self._read: dict[str, bytes] = {}
        self._is: dict[tuple[ObjectType, str], bool] = {}

    def __deepcopy__(self, _: Any) -> ReadOnce:
        return self  # Hydra copies its sources for each job

    def scheme(self) -> str:  # type: ignore[override]  # a static method of each class; here it is the source's
        return self._source.scheme()

    def load_config(self, config_path: str) -> ConfigResult:
        if config_path not in self._read:
            self._read[config_path] = pickle.dumps(self._source.load_config(config_path))
        found: ConfigResult = pickle.loads(self._read[config_path])  # an eighth of the time of making them again
        return found

    def is_group(self, config_path: str) -> bool:
        return self._known(ObjectType.GROUP, config_path)

    def is_config(self, config_path: str) -> bool:
        return self._known(ObjectType.CONFIG, config_path)

    def _known(self, kind: ObjectType, path: str) -> bool:
        ask = self._source.is_group if kind == ObjectType.GROUP else self._source.is_config
        if (kind, path) not in self._is:
            self._is[kind, path] = ask(path)
        return self._is[kind, path]

    def available(self) -> bool:
        return self._source.available()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        return self._source.list(config_path, results_filter)
