"""Runs a command and outlives nobody: `python -m mema.runtime.guard PARENT COMMAND...` ends it when PARENT is gone.

A killed flow cannot end what it started, so this process, the first of the command's group, watches for it.
"""

import os
import signal
import subprocess
import sys
import time

GRACE_SECONDS = 2
WATCH_SECONDS = 0.2


def main(parent: int, command: list[str]) -> int:
    """Return the command's exit code, as a shell gives it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the command, which has it too
    child = subprocess.Popen(command, preexec_fn=_default_signals)
    while True:
        try:
            code = child.wait(WATCH_SECONDS)
            return code if code >= 0 else 128 - code
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                _end_group(child)


def _default_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End the whole group, this process with it: politely, then for good."""
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
