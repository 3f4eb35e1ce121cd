"""Log lines: words for people, or with MEMA_LOG=json one JSON object an event for machines.

In JSON, whatever this process writes to standard error is an event: log calls, Python's warnings, progress bars (ours
and those of libraries, one event every ten seconds and one at the end), uncaught errors, and stray lines.
"""

import atexit
import io
import json
import logging
import os
import sys
import threading
import time
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, TextIO

from tqdm import tqdm

FORMATS = ("text", "json")
EVERY_SECONDS = 10  # between two events of one progress bar
log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One line an event: time, level, logger, message, and the fields that `fields` gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class StrayLines(io.TextIOBase):
    """Stands for standard error: each line that somebody writes past the logging becomes an event."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._rest, self._lock = stream, "", threading.RLock()

    def write(self, text: str) -> int:
        """Log whole lines, keep the rest; a line that was drawn over (carriage return) is gone."""
        with self._lock:
            *lines, self._rest = (self._rest + text).replace("\r\n", "\n").split("\n")
        for line in lines:
            if shown := line.rpartition("\r")[2].rstrip():
                logging.getLogger("stderr").warning("%s", shown)
        return len(text)

    def finish(self) -> None:
        """Log what is left without an end of line."""
        self.write("\n")

    def fileno(self) -> int:
        """Return the descriptor of the stream behind, which child processes write to."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """No bars are drawn here."""
        return False


def fields(**values: Any) -> dict[str, dict[str, Any]]:
    """Return `extra=` of a log call: what JSON lines say beside the message. Never a patient's datum."""
    return {"fields": values}


def progress(total: int, desc: str, unit: str = " images", initial: int = 0) -> tqdm:
    """Return a bar to be used as a context and told `update(number)`; in JSON it is events with done and total."""
    return tqdm(total=total, desc=desc, unit=unit, initial=initial)


def wants_json() -> bool:
    """Tell whether MEMA_LOG asks for JSON; raises ValueError where it asks for something unknown."""
    wanted = os.environ.get("MEMA_LOG") or "text"
    if wanted not in FORMATS:
        raise ValueError(f"MEMA_LOG: {wanted!r}; allowed: {', '.join(FORMATS)}")
    return wanted == "json"


def configure(level: int = logging.INFO) -> None:
    """Send this process's events to standard error, in the form that MEMA_LOG asks for."""
    if not wants_json():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logging.basicConfig(level=level, handlers=[handler])
    elif not isinstance(sys.stderr, StrayLines):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=level, handlers=[handler], force=True)
        sys.stderr, sys.excepthook = StrayLines(sys.stderr), uncaught
        atexit.register(sys.stderr.finish)
        os.environ.setdefault("TYPER_STANDARD_TRACEBACK", "1")  # no boxes around a traceback
        logging.captureWarnings(True)
        warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}"
        tqdm.display = _as_event  # pyright: ignore[reportAttributeAccessIssue]


def end(message: str) -> NoReturn:
    """End this process with exit code 1 and what its user can mend: a line, or an event of level error."""
    if not wants_json():
        sys.exit(message)
    log.error("%s", message)
    sys.exit(1)


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log an error that ends this process; stands for sys.excepthook."""
    log.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


def _as_event(bar: tqdm, msg: str | None = None, pos: int | None = None) -> bool:
    """Stand for a bar's drawing: an event now and then, and one when it closes."""
    now, closing = time.monotonic(), bar.disable
    if msg is not None or (not closing and now - bar.__dict__.setdefault("_told", now) < EVERY_SECONDS):
        return True
    bar.__dict__["_told"] = now
    state = bar.format_dict
    told = {"done": state["n"], "total": state["total"], "unit": state["unit"].strip()}
    told |= {"seconds": round(state["elapsed"], 1)} | ({"state": bar.postfix} if bar.postfix else {})
    logging.getLogger("progress").info("%s", (state["prefix"] or "").rstrip(": "), extra=fields(**told))
    return True
