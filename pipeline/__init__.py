"""Offline-RL datasets: read what the stages made, record what a program plays, train on it.

A workspace is the folder that `python run.py` writes to. It opens datasets by name (after `stage=all domain=toy`):

>>> from pipeline import Workspace
>>> workspace = Workspace("outputs")
>>> "toy/corner/scripted-v1" in workspace
True
>>> dataset = workspace["toy/corner/scripted-v1"]
>>> len(dataset), dataset.states
(20, 195)

A dataset is a sequence of episodes, each of T transitions in T+1 rows; a state is a row that is not an episode's last.

>>> episode = dataset[-1]
>>> episode.steps["observation"].shape[0] == episode.length + 1
True
>>> [each.end_reason for each in dataset[:3]]
['terminated', 'terminated', 'terminated']
>>> dataset.per_episode("return").shape
(20,)
>>> dataset.state_rows("observation", 100, 132).shape  # a window of states: one read
(32, 9)

Workers of a torch `DataLoader` read it, too. They are spawned, so a script keeps its own work below
`if __name__ == "__main__":`.

>>> from torch.utils.data import DataLoader
>>> loader = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="spawn", collate_fn=list)
>>> len(loader)  # batches, each a list of 4 episodes
5

A trainer reads windows, whole episodes or transitions of it (`Windows`, `Episodes`, `Transitions`; `Mixture` of several
datasets), in an order that a seed decides, and goes on exactly where it stopped (docs/views.md):

>>> from pipeline import Loader, Windows
>>> data = Windows("outputs", "toy/corner/scripted-v1", length=8, padding="left", fields=("observation", "mask"))
>>> loader = Loader(data, batch_size=64)
>>> next(iter(loader))["observation"].shape
torch.Size([64, 8, 9])
>>> state = loader.state_dict()
>>> state["epoch"], state["samples"]
(0, 64)

What was derived from it is found by what was asked, not by its hash:

>>> bins = workspace.find("bins", "toy/corner", metric="l2", dataset="scripted-v1")
>>> from pipeline import Contexts
>>> Contexts.of(bins)[0]["rewards"].shape  # REGENT's training items, tensors
torch.Size([20])

Exact nearest neighbours of any vectors:

>>> from pipeline import ExactIndex
>>> states = dataset.state_rows("observation", 0, dataset.states)
>>> ExactIndex(states).search(states[:2], k=1).rows.tolist()
[[0], [1]]

`EpisodeLog` and its wrappers `RecordEpisodes`, `RecordVectorEpisodes` and `RecordDmEpisodes` keep the episodes of a
running program, `environment_facts` says what its environment is (docs/live.md). `Frames` reads pictures of episodes.

Each name is imported when it is first used, so that reading a dataset loads neither torch nor a simulator. All other
modules may change at any time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.dataset.reader import EpisodeDataset
    from pipeline.dataset.workspace import Workspace
    from pipeline.episode import Episode
    from pipeline.frames.store import Frames
    from pipeline.live.dm import RecordDmEpisodes
    from pipeline.live.facts import environment_facts
    from pipeline.live.log import EpisodeLog
    from pipeline.live.single import RecordEpisodes
    from pipeline.live.vector import RecordVectorEpisodes
    from pipeline.search.index import ExactIndex
    from pipeline.views.contexts import Contexts
    from pipeline.views.episodes import Episodes
    from pipeline.views.loader import Loader
    from pipeline.views.mixture import Mixture
    from pipeline.views.transitions import Transitions
    from pipeline.views.windows import Windows

__all__ = [
    "Contexts",
    "Episode",
    "EpisodeDataset",
    "EpisodeLog",
    "Episodes",
    "ExactIndex",
    "Frames",
    "Loader",
    "Mixture",
    "RecordDmEpisodes",
    "RecordEpisodes",
    "RecordVectorEpisodes",
    "Transitions",
    "Windows",
    "Workspace",
    "environment_facts",
]

_MODULES = {
    "Contexts": "pipeline.views.contexts",
    "Episode": "pipeline.episode",
    "EpisodeDataset": "pipeline.dataset.reader",
    "EpisodeLog": "pipeline.live.log",
    "Episodes": "pipeline.views.episodes",
    "ExactIndex": "pipeline.search.index",
    "Frames": "pipeline.frames.store",
    "Loader": "pipeline.views.loader",
    "Mixture": "pipeline.views.mixture",
    "RecordDmEpisodes": "pipeline.live.dm",
    "RecordEpisodes": "pipeline.live.single",
    "RecordVectorEpisodes": "pipeline.live.vector",
    "Transitions": "pipeline.views.transitions",
    "Windows": "pipeline.views.windows",
    "Workspace": "pipeline.dataset.workspace",
    "environment_facts": "pipeline.live.facts",
}
"""Where each public name lives."""

if not TYPE_CHECKING:  # a type checker would take any name to exist

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first asked for (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(__all__)}")
        found = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
