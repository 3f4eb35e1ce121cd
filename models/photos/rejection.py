"""Why a photo or a record is turned away."""


class Rejection(Exception):
    """A photo that may not be used: `reason` is counted, `detail` is for the restricted quarantine table only."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
