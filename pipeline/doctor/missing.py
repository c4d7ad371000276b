"""What is not there: tasks without a dataset, datasets with fewer episodes than others, or than were asked for."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping

from pipeline.artifacts.artifact import WHOLE_SOURCE, Artifact
from pipeline.artifacts.remake import larger
from pipeline.command import MADE_BY, making
from pipeline.doctor.findings import Finding
from pipeline.domains.domain import Domain
from pipeline.wording import few, how_many

SHOWN = 10
"""Tasks that are named."""

FAR = 10
"""So many times more states has the largest dataset of a domain than the smallest, where that is worth a note."""

GAVE_UP = "gave_up"
"""The count of a manifest that says in how many episodes the policy knew no way on."""


def tasks_without(domain: Domain, dataset: str, there: Mapping[str, Artifact]) -> Iterator[Finding]:
    """Tasks of a domain that lack a dataset, and those where it has other amounts.

    Args:
        domain: whose tasks are all asked for.
        dataset: its name.
        there: the dataset of each task that has one.
    """
    where = f"{domain.name}/{dataset}"
    lacking = [task for task in domain.tasks if task not in there]
    if lacking and there:
        yield _lacking(where, domain, dataset, lacking, there)
    yield from _fewer(where, there)


def too_few(dataset: Artifact) -> Iterator[Finding]:
    """What a manifest says of episodes that are missing or were given up."""
    where = f"{dataset.manifest.task}/{dataset.manifest.version}"
    counts = dataset.manifest.counts
    episodes, asked = int(counts["episodes"]), _asked(dataset)
    if asked > episodes:
        yield Finding(
            "fewer_than_asked",
            "warning",
            where,
            asked - episodes,
            f"{how_many(episodes, 'episodes')} are there, {asked:,} were asked for"
            + ("; the source held no more." if "source" in dataset.manifest.parameters else "."),
            "Whoever counts on the number that was asked for trains on less data.",
            numbers=(("asked", float(asked)), ("episodes", float(episodes))),
        )
    if number := int(counts.get(GAVE_UP, 0)):
        yield Finding(
            GAVE_UP,
            "warning",
            where,
            number,
            f"In {how_many(number, 'episodes')} of {episodes:,} the policy knew no way on and gave up.",
            "They end where the task is not over: neither a success nor a failure to learn from.",
            numbers=(("share", number / episodes),),
        )


def _lacking(where: str, domain: Domain, dataset: str, lacking: list[str], there: Mapping[str, Artifact]) -> Finding:
    total = len(domain.tasks)
    # Under the name of what came in by a door or was derived, a policy must play nothing.
    known = dataset in MADE_BY or all(_is_collected(each) for each in there.values())
    making_them = making(dataset, "", domain.words, {"task": lacking if len(lacking) > 1 else lacking[0]}).line()
    return Finding(
        "missing_tasks",
        "warning" if 2 * len(lacking) <= total else "note",
        where,
        len(lacking),
        f"{how_many(len(lacking), 'tasks')} of {total:,} {_have(lacking)} no dataset {dataset}.",
        "A mean over the tasks of a domain is not what others report for it where some are missing.",
        command=making_them if known else "",
        examples=(few(lacking, SHOWN),),
        numbers=(("share", len(lacking) / total),),
    )


def _fewer(where: str, there: Mapping[str, Artifact]) -> Iterator[Finding]:
    """Tasks with fewer episodes than most others have; where no number is common, amounts that are far apart."""
    episodes = {task: int(each.manifest.counts["episodes"]) for task, each in there.items()}
    if len(episodes) < 2:
        return
    usual, times = Counter(episodes.values()).most_common(1)[0]
    short = sorted(task for task, count in episodes.items() if count < usual)
    if short and 2 * times > len(episodes):
        yield Finding(
            "fewer_episodes",
            "warning",
            where,
            len(short),
            f"{how_many(len(short), 'tasks')} of {len(episodes):,} {_have(short)} fewer "
            f"episodes than the {usual:,} of most others.",
            "Such a task weighs less in training, and a run of it may have been stopped.",
            command=larger(there[short[0]], usual).line(),
            examples=tuple(f"{task}: {episodes[task]:,}" for task in short[:SHOWN]),
            numbers=(("usual", float(usual)),),
        )
        return
    states = {task: int(each.manifest.counts["states"]) for task, each in there.items()}
    least, most = (task for task, _ in (min(states.items(), key=_amount), max(states.items(), key=_amount)))
    if times == 1 and states[most] >= FAR * max(1, states[least]):
        yield Finding(
            "unequal_tasks",
            "note",
            where,
            len(states),
            f"{least} has {how_many(states[least], 'states')}, {most} {states[most]:,}.",
            "Where batches are drawn from all states, the large tasks are learnt and the small ones are not.",
            examples=(f"{least}: {states[least]:,}", f"{most}: {states[most]:,}"),
            numbers=(("times", states[most] / max(1, states[least])),),
        )


def _is_collected(dataset: Artifact) -> bool:
    return "source" not in dataset.manifest.parameters and not dataset.is_derived


def _have(tasks: list[str]) -> str:
    return "has" if len(tasks) == 1 else "have"


def _amount(item: tuple[str, int]) -> int:
    return item[1]


def _asked(dataset: Artifact) -> int:
    """How many episodes the command asked for that made a dataset; 0 where it names no number or all were taken."""
    if dataset.manifest.counts.get(WHOLE_SOURCE) == dataset.manifest.counts["episodes"]:
        return 0
    try:
        words = shlex.split(dataset.manifest.command)
    except ValueError:  # a quotation without an end: nobody typed that
        return 0
    numbers = [word.removeprefix("episodes=") for word in words if word.startswith("episodes=")]
    return int(numbers[-1]) if numbers and numbers[-1].isdecimal() else 0
