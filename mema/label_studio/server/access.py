"""Who asks which server: one client per reader, since no account sees more than its own projects."""

import os
from dataclasses import dataclass
from pathlib import Path

from mema.label_studio.exchange.client import ATTEMPTS, LabelStudio
from mema.label_studio.server.places import ROOT, Account, Places, read_accounts

# An address of this machine that nothing else listens on: the only one that the server may call.
SAM_HOST, SAM_PORT = "127.83.65.77", 9090


@dataclass(frozen=True)
class Target:
    """Label Studio as the commands meet it; `sam_url` empty means without the SAM backend."""

    places: Places
    url: str
    sam_url: str = ""
    attempts: int = ATTEMPTS

    def account(self, name: str) -> Account:
        """Return a reader's account; raises ValueError where he has none."""
        return read_accounts(self.places).of(name, self.places.accounts)

    def client(self, name: str) -> LabelStudio:
        """Return a client that speaks as one reader."""
        return LabelStudio(
            self.url, self.account(name).token, who=name, accounts=self.places.accounts, attempts=self.attempts
        )


def target_here(root: Path = ROOT, *, sam: bool = True) -> Target:
    """Return the server of a root: LABEL_STUDIO_URL, else the address it was started at."""
    places = Places(root)
    url = os.environ.get("LABEL_STUDIO_URL", "").rstrip("/") or read_accounts(places).url
    port = os.environ.get("MEMA_SAM_PORT") or str(SAM_PORT)
    return Target(places, url, f"http://{SAM_HOST}:{port}" if sam else "")
