"""What the fault tests count, and the table at the end of their run."""

import os
from collections import Counter
from collections.abc import Callable, Generator

import pytest

SEED = int(os.environ.get("MEMA_FAULT_SEED", "7"))  # of the moments at which stages are killed
TABLE = ".scratch/faults.md"
KEY = "fault"
COUNTS = ("faults", "images lost", "images changed", "shards redone")
Tally = Callable[..., None]


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Note `tally("full disk", faults=1, lost=0, changed=0, redone=0)` for the table."""

    def note(kind: str, *, faults: int, lost: int = 0, changed: int = 0, redone: int = 0) -> None:
        record_property(KEY, (kind, faults, lost, changed, redone))

    return note


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say in a failure with which seed the same moments come again."""
    report = yield
    if report.failed:
        report.sections.append(("seed", f"MEMA_FAULT_SEED={SEED} draws the same moments again"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of all fault tests, whichever process ran them, and write it to TABLE."""
    rows: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call":
                continue
            for key, value in report.user_properties:
                if key == KEY:
                    kind, *numbers = value
                    rows.setdefault(kind, Counter()).update(dict(zip(COUNTS, numbers, strict=True)))
    if rows:
        lines, file = table(rows), terminalreporter.config.rootpath / TABLE
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join([*lines, "", f"seed {SEED}", ""]))
        terminalreporter.write_sep("=", f"faults, seed {SEED}, also in {TABLE}")
        for line in lines:
            terminalreporter.write_line(line)


def table(rows: dict[str, Counter[str]]) -> list[str]:
    """Return the lines of the table in Markdown, its last one the sum."""
    total: Counter[str] = sum(rows.values(), Counter())
    lines = [f"| fault | {' | '.join(COUNTS)} |", f"|---|{'---|' * len(COUNTS)}"]
    for kind, counts in [*rows.items(), ("all", total)]:
        lines.append(f"| {kind} | {' | '.join(str(counts[name]) for name in COUNTS)} |")
    return lines
