"""`mema rekey`: another passphrase for side-cars; pictures and what is sealed stay as they are."""

import hashlib
from dataclasses import dataclass, replace

from mema.hospital import sidecar
from mema.hospital.audit.trail import Trail
from mema.hospital.contents import pack, unpack
from mema.hospital.places import Job
from mema.hospital.private import MAX_BYTES, read_regular, write_private
from models.concealing.passwords import Passphrase


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
