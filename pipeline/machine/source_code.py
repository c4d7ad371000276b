"""A function or class of the user's, as far as it says what results it gives: its name and its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.digest import digest_source
from pipeline.errors import InvalidInput


def name_and_source(code: Any, parameters: Mapping[str, Any]) -> tuple[str, str | None]:
    """`module.name` of a function or class, and BLAKE3 of the source file of its module, None where it has none.

    `parameters` are those that it is called with. Raises InvalidInput where they are no JSON values, and for an object
    without a name in its module, such as a lambda.
    """
    module, name = getattr(code, "__module__", None), getattr(code, "__qualname__", None)
    if module is None or name is None or "<" in name:
        raise InvalidInput(
            f"{code!r} has no name by which it could be found again: give a function or class of a module."
        )
    try:
        json.dumps(parameters)
    except TypeError as error:
        raise InvalidInput(f"The parameters of {module}.{name} must be plain values: {error}") from error
    return f"{module}.{name}", digest_source(module)
