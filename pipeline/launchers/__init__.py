"""Where the jobs of a sweep run: Hydra's launchers for clusters, in our words, which go on where a job has failed.

Hydra builds a launcher of a name that begins with `hydra_plugins.`, out of a table of those that it has found. Ours are
put there by hand, as functions that import what they need when a sweep asks for it.
"""

from __future__ import annotations

from typing import Any, cast

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin


def register_launchers() -> None:
    """Let Hydra find the launchers of conf/hydra/launcher."""
    for build in (slurm,):
        Plugins.instance().class_name_to_class[f"hydra_plugins.repertoire.{build.__name__}"] = cast(type[Plugin], build)


def slurm(**settings: Any) -> Launcher:
    """The launcher of +cluster=slurm. Raises InvalidInput where its package is not installed."""
    from pipeline.machine.extras import import_extra

    launcher: Launcher = import_extra("launchers", "pipeline.launchers.slurm").SlurmSweep(**settings)
    return launcher
