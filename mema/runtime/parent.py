"""Processes that end when the one that started them was killed, which could not tell them to."""

import os
import signal
import threading
import time

WATCH_SECONDS = 0.2


def end_with(parent: int) -> None:
    """Watch from now on; the parent's process id is the parent's own word, for it may be gone already."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
