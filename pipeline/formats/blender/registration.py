"""What the user says of how datasets are registered, and where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.errors import InvalidInput
from pipeline.wording import check_choice, check_count, check_type

DEFAULT_PROJECT = "RLHF-Blender"


class TreeLayout(StrEnum):
    """How files are named: as RLHF-Blender's server opens them, or as its manual says."""

    BACKEND = "backend"
    DOCUMENTED = "documented"


class Projection(StrEnum):
    """What is written for the view of points."""

    POINTS = "points"
    NONE = "none"


@dataclass(frozen=True)
class Registration:
    """The settings of `conf/format/rlhf_blender.yaml` that change no byte of an export.

    Attributes:
        project: unset: that of a known experiment, else `RLHF-Blender`.
        experiment: unset: the environment's id, then `_random_experiment` or `_trained_experiment`.
        display_name: what people call the environment: a tag, and the first sentence of its description.
        description: of the environment.
        layout: one of `TreeLayout`.
        projection: one of `Projection`.
        clusters: how many groups of points; unset: one for each episode, at most 8.
        replace: other data of the same checkpoint are replaced.

    Raises InvalidInput for values that cannot be.
    """

    project: str | None = None
    experiment: str | None = None
    display_name: str | None = None
    description: str = ""
    layout: str = TreeLayout.BACKEND
    projection: str = Projection.POINTS
    clusters: int | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        check_choice("format.layout", self.layout, list(TreeLayout))
        check_choice("format.projection", self.projection, list(Projection))
        check_type("format.replace", self.replace, bool, "true or false")
        if self.clusters is not None:
            check_count("format.clusters", self.clusters)
        for name in ("project", "experiment", "display_name", "description"):
            value = getattr(self, name)
            setting = f"{'domain' if name == 'display_name' else 'format'}.{name}"
            check_type(setting, value, str | None, "a text")
            if name in ("project", "experiment") and value is not None and not value.strip():
                raise InvalidInput(f"{setting} is empty: give a name, or leave it out.")
            if value is not None and not value.isprintable():
                raise InvalidInput(f"{setting}={value!r} holds characters that nobody can read. Type it without them.")

    @property
    def whole_description(self) -> str:
        """The description, which begins with the name that people use."""
        return " ".join(filter(None, [self.display_name and f"{self.display_name.rstrip('.')}.", self.description]))
