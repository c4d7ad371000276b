"""A sweep whose jobs run one after the other on this machine: Hydra's own launcher, which composes each job once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

from pipeline.launchers.composing import ComposedOnce


class JobsInTurn(BasicLauncher):
    """Hydra's launcher where none is named."""

    def setup(self, **named: Any) -> None:
        super().setup(**named)
        self._loader = ComposedOnce.put_into(named["hydra_context"])

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; none that fails ends the sweep, for it writes its failure down itself."""
        self._loader.begin()
        logging.getLogger(BasicLauncher.__module__).setLevel(logging.WARNING)  # each stage says its task itself
        return super().launch(job_overrides, initial_job_idx)
