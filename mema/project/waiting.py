"""What a flow has to know of the readers while it waits: how many of their tasks are open."""

import json
import subprocess
import sys

from mema.project import process


def open_tasks(round_name: str = "") -> int:
    """Return the number of open tasks of a round, or of all; 0 for a round that has no readers.

    Raises RuntimeError with Label Studio's reason when it cannot be asked.
    """
    command = [sys.executable, "-m", "mema.cli", "annotate", "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=process.environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"label studio: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    states = json.loads(done.stdout)
    return sum(state["open"] for state in states if round_name in ("", state["round"]))
