"""Whether the readers are done: whose tasks are open, what nobody was given, which disputes wait for the senior."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from models.annotation.adjudication import disagreements
from models.annotation.export import Reading
from models.annotation.manifest import Manifest


@dataclass(frozen=True)
class Gaps:
    """What is still to be read; false where nothing is."""

    open: Mapping[str, int]  # reader -> tasks without an answer
    tasks: int
    never_pushed: int  # selected images that no reader was given
    disputed: int  # images on which the readers differ and that no senior was given

    def __bool__(self) -> bool:
        return bool(self.open or self.never_pushed or self.disputed)

    def __str__(self) -> str:
        """Return the gaps in words, each with what closes it."""
        whose = ", ".join(f"{name} {count:,}" for name, count in self.open.items())
        parts = {
            f"{sum(self.open.values()):,} of {self.tasks:,} tasks are not answered ({whose}): have them read "
            "(mema annotate status), then pull": self.open,
            f"{self.never_pushed:,} selected images were given to nobody: push": self.never_pushed,
            f"{self.disputed:,} images on which the readers differ were not given to the senior: "
            "mema annotate adjudicate": self.disputed,
        }
        return "; ".join(text for text, found in parts.items() if found)


def gaps(manifest: Manifest, readings: Mapping[str, Reading], votes: pa.Table, image_ids: set[str]) -> Gaps:
    """Return what is missing; disputes are told only once every reader is through, for until then they change."""
    readers = manifest.readers
    unanswered = {name: reading.missing for name, reading in readings.items() if reading.missing}
    given = {task.image_id for reader in readers.values() for task in reader.tasks}
    senior = {task.image_id for one in manifest.of_round("adjudication").values() for task in one.tasks}
    reading = manifest.of_round("reading")
    open_here = any(name in unanswered for name in reading)
    disputed = set() if open_here else set(disagreements(votes, len(reading))) - senior
    return Gaps(
        unanswered, sum(len(reader.tasks) for reader in readers.values()), len(image_ids - given), len(disputed)
    )
