"""Label Studio's settings with projects that belong to one organisation, and a gate; the server starts with these."""

import os

# The server's settings ask for themselves while they are read, by the name in this variable.
os.environ["DJANGO_SETTINGS_MODULE"] = "label_studio.core.settings.label_studio"
from label_studio.core.settings.label_studio import *  # noqa: F403  # pyright: ignore

# Its base.html adds mema_screen.js to every page.
TEMPLATES[0]["DIRS"].insert(0, os.path.join(os.path.dirname(__file__), "templates"))  # noqa: F405  # pyright: ignore
MEMA_ORIGINS = tuple(os.environ["MEMA_ORIGINS"].split(","))
MIDDLEWARE[MIDDLEWARE.index("core.middleware.DisableCSRF")] = "mema_gate.Gate"  # noqa: F405  # pyright: ignore

os.environ["DJANGO_SETTINGS_MODULE"] = "mema_settings"
PROJECT_MIXIN = "mema_blinding.BlindedProject"
