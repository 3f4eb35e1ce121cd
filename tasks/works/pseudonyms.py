"""Names that donors have in a release: equal for images of one donor, and nobody's without the release's key.

A donor's own id is the digest of a public face, which whoever has that face can compute.
"""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from mema.hospital.release_key import release_key
from mema.params.hospital import Release, ReleaseKey

DIGITS = 32


@dataclass(frozen=True)
class Pseudonyms:
    """Gives donors their pseudonyms; later versions of one major release keep them."""

    key: bytes = field(repr=False)

    def of(self, donor_ids: Sequence[str]) -> list[str]:
        """Return one pseudonym a donor, "" for nobody."""
        return [
            hmac.digest(self.key, donor.encode(), hashlib.sha256).hex()[:DIGITS] if donor else "" for donor in donor_ids
        ]

    def recognise(self, donor_ids: Sequence[str], wanted: Collection[str]) -> list[str]:
        """Return the donors' pseudonyms; raises ValueError where one that is `wanted` is nobody's among them."""
        found = self.of(donor_ids)
        if unknown := set(wanted) - set(found):
            raise ValueError(
                f"release_key: {len(unknown)} of {len(set(wanted))} donors of MeMa are none of the "
                f"{len(set(donor_ids))} public faces under this key and release.version; run assemble again, or put "
                "the key of this MeMa back"
            )
        return found


def pseudonyms(release: Release, key: ReleaseKey) -> Pseudonyms:
    """Return the release's pseudonyms; a new major version, after which nothing may be linked, has new ones."""
    return Pseudonyms(release_key(key, f"donor pseudonyms of MeMa {release.major}"))
