"""A training stage that tells who takes part in it, and then never ends by itself."""

import os
import time
from pathlib import Path

from mema.runtime import launch
from models.training.distributed import group


def main(folder: Path) -> None:
    """Write a file a process, named like its rank."""
    together = group()
    (folder / f"rank-{together.rank}").write_text(f"{os.getpid()} of {together.num}")
    together.wait()
    time.sleep(600)


if __name__ == "__main__":
    launch.start(main)
