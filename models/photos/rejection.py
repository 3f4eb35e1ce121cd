"""Why a photo or a record is turned away."""

from models.reasons import known


class Rejection(Exception):
    """A photo that may not be used: `reason` is counted, `detail` stays in the quarantine table."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = known(reason)
        self.detail = detail
