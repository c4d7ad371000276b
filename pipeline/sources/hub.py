"""Files of one dataset on the Hugging Face hub, downloaded once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InvalidInput, Unreachable
from pipeline.machine.secrets import refuse_password, without_secrets


@dataclass(frozen=True)
class Repository:
    """A dataset repository at a branch, tag or commit.

    Attributes:
        cache: folder for downloads; None: the hub client's own.
        settings: names of the two settings that choose repository and revision, for messages.
        folder: name of the setting that gives a local folder instead.
    """

    repo_id: str
    revision: str
    cache: str | None
    settings: str
    folder: str

    def __post_init__(self) -> None:
        refuse_password(self.repo_id, self.settings)
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", self.repo_id):
            raise InvalidInput(f"{self.repo_id!r} must be OWNER/NAME of a dataset repository. Check {self.settings}.")

    def __str__(self) -> str:
        return f"{self.repo_id} at {self.revision}"

    def download(self, name: str, wanted: Sequence[str]) -> Path:
        """The snapshot folder with the files that fit `wanted`; what is complete already is not downloaded again."""
        # imported here because a local folder needs no hub client, and loading it takes a second
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        refuse_password(constants.ENDPOINT, "HF_ENDPOINT")
        # the HTTP library's own error (which library, depends on the client's version), OSError, a name it refuses
        failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, ValueError, RuntimeError)
        try:
            root = snapshot_download(
                self.repo_id,
                repo_type="dataset",
                revision=self.revision,
                cache_dir=self.cache,
                allow_patterns=list(wanted),
            )
        except failures as error:
            kind = InvalidInput if isinstance(error, (HfHubHTTPError, ValueError)) else Unreachable
            raise kind(
                f"{name} of the dataset {self} could not be downloaded: "
                f"{without_secrets(str(error).strip()) or type(error).__name__}\n"
                f"Check {self.settings} and the network (HF_ENDPOINT, HF_TOKEN) and run again: what is complete is "
                f"kept. Or give a folder with {self.folder}=FOLDER."
            ) from None  # the client's own traceback may hold what the hub answered
        return Path(root)
