"""The audit log as the commands write to it: done and refused, in the log that a side-car is bound to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mema.hospital.audit.log import GENESIS, MAX_WHY, AuditError, Log, Sink
from mema.hospital.contents import Contents
from models.photos.rejection import Rejection


@dataclass(frozen=True)
class Trail:
    """The logs that each line is written to, one as a rule, and what is said of the reason."""

    logs: tuple[Log, ...]
    why: str

    @classmethod
    def of(cls, place: str, second: str, why: str) -> "Trail":
        """Return the trail of params.yaml's log; raises ValueError where the reason is too long."""
        if len(why) > MAX_WHY:
            raise ValueError(f"--why: {len(why)} characters, at most {MAX_WHY}; name the request by its number")
        if not why.isprintable():
            raise ValueError("--why: holds line breaks or characters that cannot be shown; give plain text")
        return cls((Log(Path(place), Sink(second)),), why)

    def record(self, action: str, file_sha256: str) -> None:
        """Write that something is about to be done."""
        for log in self.logs:
            log.append(action, file_sha256, self.why)

    def refused(self, command: str, file_sha256: str, reason: str) -> None:
        """Write that something was asked for and not done."""
        said = f" ({reason})"
        for log in self.logs:
            log.append(f"{command}_refused", file_sha256 or GENESIS, self.why[: MAX_WHY - len(said)] + said)

    @cached_property
    def binding(self) -> dict[str, str]:
        """Return what the contents of a new side-car hold of the log."""
        return {"audit_log": self.logs[0].identity(), "audit_place": str(self.logs[0].path.resolve())}

    def under(self, contents: Contents) -> "Trail":
        """Return the trail that includes the log which the side-car is bound to; raises Rejection without it.

        So nobody restores under a params.yaml of his own and leaves the hospital's log as it was.
        """
        if not contents.audit_log or self.binding["audit_log"] == contents.audit_log:
            return self
        bound = Log(Path(contents.audit_place))
        try:
            found = bound.path.is_file() and bound.identity() == contents.audit_log
        except (OSError, AuditError):
            found = False
        if not found:
            raise Rejection(
                "other_log",
                f"it was sealed under the audit log {contents.audit_log[:12]}, then {contents.audit_place}, which "
                "can't be written here: set deid_files.audit_log to that log, or bring it back from a backup",
            )
        return Trail((*self.logs, bound), self.why)
