"""A class or function of the user's own that makes environments, named as `module:Class`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from pipeline.command import Command
from pipeline.digest import digest_source
from pipeline.envs.gym.versions import version_of
from pipeline.errors import InvalidInput, unknown_name
from pipeline.wording import error_text

FORM = "Write module:Class or module:function, such as domain.entry_point=my_envs:Catch"


def load_entry_point(entry_point: str) -> Callable[..., Any]:
    """What `module:Class`, `module:function` or `module:Class.method` names. Imports the module.

    Raises InvalidInput for another form, for a module that cannot be imported and for what cannot be called,
    UnknownName where the module has no such name.
    """
    module, _, name = entry_point.partition(":")
    if not module or not name:
        raise InvalidInput(f"domain.entry_point={entry_point} names nothing. {FORM}")
    found: Any = import_named(module, f"domain.entry_point={entry_point}")
    before = f"{module}:"
    for part in name.split("."):
        if not hasattr(found, part):
            known = [f"{before}{each}" for each in _makers(found)]
            raise unknown_name("entry point", f"{before}{part}", known)
        found, before = getattr(found, part), f"{before}{part}."
    if not callable(found):
        raise InvalidInput(f"domain.entry_point={entry_point} is of type {type(found).__name__}. {FORM}")
    make: Callable[..., Any] = found
    return make


def entry_point_facts(entry_point: str) -> dict[str, Any]:
    """JSON facts of the code behind an entry point. Imports the module.

    Its name, BLAKE3 of the source file that defines it, and the version of the package that it was installed with.
    """
    module = str(getattr(load_entry_point(entry_point), "__module__", None) or entry_point.partition(":")[0])
    package = module.partition(".")[0]
    known = version_of(package)
    return {
        "entry_point": entry_point,
        "source": digest_source(module),
        "versions": {} if known is None else {package: known},
    }


def check_arguments(entry_point: str, arguments: dict[str, Any]) -> None:
    """Raises InvalidInput where an entry point does not take such arguments, as far as its signature tells."""
    make = load_entry_point(entry_point)
    try:
        signature = inspect.signature(make)
    except ValueError:  # native code may have none
        return
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise InvalidInput(
            f"{entry_point} does not take {arguments}: {error}. It is called as {_called(make)}{signature}; set its "
            f"arguments with domain.env_kwargs."
        ) from error


def import_named(module: str, setting: str) -> ModuleType:
    """The user's module that a setting names. Raises InvalidInput that tells a missing module from a broken one."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (module == missing or module.startswith(f"{missing}.")):
            raise InvalidInput(
                f"{setting}: there is no module {missing}. Install its package, or put the "
                f"folder that holds it on PYTHONPATH: PYTHONPATH=FOLDER {Command().line()}"
            ) from error
        raise InvalidInput(
            f"{setting}: the module {module} needs {missing or error}, which is not there. "
            f"Install it, or put the folder that holds it on PYTHONPATH."
        ) from error
    except Exception as error:  # a module of anybody's may fail in any way
        raise InvalidInput(f"{setting}: the module {module} cannot be imported: {error_text(error)}") from error


def _makers(found: Any) -> list[str]:
    """The public names in a module or class that could be an entry point: what it, or a part of it, defines itself."""
    module = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", "")
    return [
        name
        for name, each in inspect.getmembers(found, callable)
        if not name.startswith("_") and f"{getattr(each, '__module__', None)}.".startswith(f"{module}.")
    ]


def _called(found: Any) -> str:
    return str(getattr(found, "__qualname__", None) or getattr(found, "__name__", type(found).__name__))
