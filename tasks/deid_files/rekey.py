"""`mema rekey`: another passphrase for side-cars; pictures and sealed contents stay as they are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from models.deid import audit, sidecar
from models.deid.passwords import Passphrase
from tasks.deid_files.places import Job, write_new


@dataclass(frozen=True)
class Rekey:
    """Rekeys one side-car after another; one that opens with the new passphrase was done before."""

    old: Passphrase
    new: Passphrase
    audit_log: Path
    why: str

    def __call__(self, job: Job) -> int | None:
        """Replace the side-car by one of the new passphrase; None if it was done before."""
        data = job.source.read_bytes()
        try:
            changed = sidecar.rekey(data, self.old, self.new)
        except sidecar.SidecarError:
            sidecar.open_sealed(data, self.new)
            return None
        audit.append(self.audit_log, "rekey", hashlib.sha256(data).hexdigest(), self.why)
        write_new(job.source, changed)
        return 0
