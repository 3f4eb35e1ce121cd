"""`dvc repro` beside a test: its lines with their times, its processes, and ways to kill it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mema.project import process

PATIENCE_SECONDS = 900
STARTED = re.compile(r"Running stage '(?:[^':]*:)?(\w+)':")
DONE = re.compile(r"(\w+)(?:-\w+)?: (\d+) of \d+ shards already done")


@dataclass
class Repro:
    """One run of a module in a process group of its own; `lines` grows while it lives."""

    folder: Path
    command: tuple[str, ...] = ("mema.project.mending", "repro")
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        environment = process.environment() | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *self.command]
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            *parts, rest = re.split(rb"[\r\n]", rest + chunk)
            now = time.monotonic()
            self.lines += [(now, part.decode(errors="replace")) for part in parts if part.strip()]
        if rest.strip():
            self.lines.append((time.monotonic(), rest.decode(errors="replace")))

    @property
    def text(self) -> str:
        """All that was said so far."""
        return "\n".join(line for _, line in list(self.lines))

    def finish(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(10)
        return code

    def stages(self) -> dict[str, float]:
        """Return when each stage was started, in order."""
        found = ((when, STARTED.search(line)) for when, line in list(self.lines))
        return {match[1]: when for when, match in found if match}

    def already_done(self) -> Counter[str]:
        """Return how many shards each stage said it found done."""
        done: Counter[str] = Counter()
        for match in DONE.finditer(self.text):
            done[match[1]] += int(match[2])
        return done

    def locked(self, stage: str) -> bool:
        """Tell whether DVC began to write down that the stage is done."""
        start = self.stages().get(stage)
        return start is not None and any(
            when >= start and "Updating lock file" in line for when, line in list(self.lines)
        )

    def seconds(self, stage: str) -> float:
        """Return how long a stage took, DVC's own work on its outs included; waits for its end."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            starts = list(self.stages().items())
            names = [name for name, _ in starts]
            if stage in names and names[-1] != stage:
                index = names.index(stage)
                return starts[index + 1][1] - starts[index][1]
            if ended:
                assert stage in names, f"{stage} never ran:\n{self.text[-3000:]}"
                return self.lines[-1][0] - starts[names.index(stage)][1]
            time.sleep(0.05)
        raise AssertionError(f"{stage} did not end within {PATIENCE_SECONDS} s")

    def stage_process(self, stage: str) -> psutil.Process | None:
        """Return the process of the stage's command, without those that it started."""
        try:
            children = psutil.Process(self.process.pid).children(recursive=True)
            ours = [child for child in children if any(word.endswith(f".{stage}") for word in child.cmdline())]
        except psutil.NoSuchProcess:
            return None
        return ours[-1] if ours else None

    def kill(self) -> None:
        """Kill the whole process group, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.finish()

    def left_behind(self, patience_seconds: float = 10) -> list[str]:
        """Return the commands of processes that outlive the run; none is left after this call."""
        deadline = time.monotonic() + patience_seconds
        while (alive := self._group()) and time.monotonic() < deadline:
            time.sleep(0.1)
        names = [" ".join(member.cmdline()) for member in alive]
        for member in alive:
            member.kill()
        return names

    def _group(self) -> list[psutil.Process]:
        found = []
        for candidate in psutil.process_iter():
            try:
                if os.getpgid(candidate.pid) == self.process.pid and candidate.status() != psutil.STATUS_ZOMBIE:
                    found.append(candidate)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found
