"""`mema rekey`: another passphrase for side-cars; pictures and what is sealed stay as they are."""

import hashlib
from dataclasses import dataclass, replace

from models.deid import sidecar
from models.deid.contents import pack, unpack
from models.deid.passwords import Passphrase
from tasks.deid_files.places import Job
from tasks.deid_files.private import MAX_BYTES, read_regular, write_private
from tasks.deid_files.trail import Trail


@dataclass(frozen=True)
class Rekey:
    """Rekeys one side-car after another; one that opens with the new passphrase was done before."""

    old: Passphrase
    new: Passphrase
    trail: Trail

    def __call__(self, job: Job) -> int | None:
        """Replace the side-car by one of the new passphrase; None if it was done before."""
        data = read_regular(job.source, MAX_BYTES, "the side-car")
        try:
            sealed, keys = sidecar.open_sealed(data, self.old)
        except sidecar.SidecarError:
            sidecar.open_sealed(data, self.new)
            return None
        contents = unpack(sealed)
        trail = self.trail.under(contents)
        if contents.audit_log:
            changed = sidecar.rekey(data, self.old, self.new)
        else:  # an earlier version's, bound to no log
            bound = replace(contents, **trail.binding)
            changed = sidecar.seal(pack(bound), keys, self.new)
        trail.record("rekey", hashlib.sha256(data).hexdigest())
        write_private(job.out, changed, job.root, replace=True)
        return 0
