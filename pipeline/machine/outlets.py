"""Everything that a process says goes without secrets: every library's log lines, warnings, and last words."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

from pipeline.machine.secrets import without_secrets

_records = logging.getLogRecordFactory()
_warning = warnings.formatwarning
_plain = logging.Formatter()


def keep_secrets_out() -> None:
    """From now on no log record, warning or uncaught error of this process shows a secret, whoever writes it.

    Records, not handlers: libraries have handlers of their own (huggingface_hub's prints on standard error).
    """
    logging.setLogRecordFactory(_record)
    warnings.formatwarning = _formatted
    sys.excepthook = _last_words
    threading.excepthook = _of_thread


def _record(*args: Any, **keywords: Any) -> logging.LogRecord:
    record = _records(*args, **keywords)
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # a wrong call of a library's: its own arguments go, the text stays
        text = str(record.msg)
    record.msg, record.args = without_secrets(text), ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = without_secrets(_plain.formatException(record.exc_info))
    if record.stack_info:
        record.stack_info = without_secrets(record.stack_info)
    return record


def _formatted(*args: Any, **keywords: Any) -> str:
    return without_secrets(_warning(*args, **keywords))


def _last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def _of_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_type is not SystemExit:
        name = hook.thread.name if hook.thread else "a thread"
        print(f"Exception in {name}:", file=sys.stderr)
        _last_words(hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback)
