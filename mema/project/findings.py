"""What a check of the machine found, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; an empty remedy means that all is well."""

    what: str
    found: str
    remedy: str = ""
    fatal: bool = True

    @property
    def mark(self) -> str:
        """`ok`, `note` for what can wait, or `FAIL`."""
        return "ok" if not self.remedy else "FAIL" if self.fatal else "note"
