"""Where the jobs of a sweep run: Hydra's launchers for clusters, in our words, which go on where a job has failed.

Hydra builds a launcher of a name that begins with `hydra_plugins.`, out of a table of those that it has found. Ours are
put there by hand, as functions that import what they need when a sweep asks for it.
"""

from __future__ import annotations

from typing import Any, cast

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"


def register_launchers() -> None:
    """Let Hydra find the launchers of conf/hydra/launcher, and ours in place of two of its own."""
    table = Plugins.instance().class_name_to_class
    ours = {f"hydra_plugins.repertoire.{build.__name__}": build for build in (slurm, ray)}
    instead = {name: build for name, build in ((BASIC, basic), (JOBLIB, joblib)) if name in table}
    table.update(cast(dict[str, type[Plugin]], ours | instead))


def basic(**_: Any) -> Launcher:
    """The launcher where none is named."""
    from pipeline.launchers.in_turn import JobsInTurn

    return JobsInTurn()


def joblib(**settings: Any) -> Launcher:
    """The launcher of hydra/launcher=joblib, with the settings of hydra-joblib-launcher."""
    from pipeline.launchers.at_once import JobsAtOnce

    return JobsAtOnce(**settings)


def slurm(**settings: Any) -> Launcher:
    """The launcher of +cluster=slurm. Raises InvalidInput where its package is not installed."""
    from pipeline.machine.extras import import_extra

    launcher: Launcher = import_extra("launchers", "pipeline.launchers.slurm").SlurmSweep(**settings)
    return launcher


def ray(**settings: Any) -> Launcher:
    """The launcher of +cluster=ray. Raises InvalidInput where Ray is not installed."""
    from pipeline.machine.extras import import_extra

    launcher: Launcher = import_extra("ray", "pipeline.launchers.ray").RaySweep(**settings)
    return launcher
