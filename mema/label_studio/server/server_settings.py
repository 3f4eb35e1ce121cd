"""The environment in which Label Studio runs: headless, silent to the outside, closed to strangers."""

import os
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

from mema.label_studio.server import environment
from mema.label_studio.server.access import SAM_HOST, SAM_PORT
from mema.label_studio.server.places import Places
from mema.runtime.addresses import require_private

IN_SERVER = Path(__file__).with_name("in_server")  # modules that the server imports: its own Python, not ours
HIDDEN = ("http_proxy", "https_proxy", "all_proxy")  # a proxy would call whatever the server may not


def banned_subnets() -> str:
    """Return the networks that stay closed to the server's own requests: all but the SAM backend's address."""
    rest = IPv4Network("0.0.0.0/0").address_exclude(IPv4Network(SAM_HOST))
    return ",".join(["::/0", *map(str, sorted(rest))])


def origins(url: str) -> list[str]:
    """Return where the server's pages are: `url`, that on which it listens, and LABEL_STUDIO_URL.

    Raises ValueError where readers would log in without TLS.
    """
    here, public = urlsplit(url), os.environ.get("LABEL_STUDIO_URL", "").rstrip("/")
    found = {f"{here.scheme}://{here.netloc}", f"{here.scheme}://localhost:{here.port}"}
    if public:
        require_private("LABEL_STUDIO_URL", public)
        found.add("{0.scheme}://{0.netloc}".format(urlsplit(public)))
    return sorted(found)


def gate(url: str) -> dict[str, str]:
    """Return what answers nobody but the pages of `origins`; their cookies travel by TLS if LABEL_STUDIO_URL does."""
    pages = origins(url)
    behind_tls = os.environ.get("LABEL_STUDIO_URL", "").startswith("https:")
    return {
        "MEMA_ORIGINS": ",".join(pages),
        "LABEL_STUDIO_ALLOWED_HOSTS": ",".join(sorted({urlsplit(page).hostname or "" for page in pages})),
        "LABEL_STUDIO_CSRF_TRUSTED_ORIGINS": ",".join(pages),
        "LABEL_STUDIO_CORS_ALLOW_ALL_ORIGINS": "false",
        "LABEL_STUDIO_CORS_ALLOWED_ORIGINS": ",".join(pages),
        "LABEL_STUDIO_CORS_ALLOWED_ORIGIN_REGEXES": "",
        "LABEL_STUDIO_SESSION_COOKIE_SECURE": str(int(behind_tls)),
        "LABEL_STUDIO_CSRF_COOKIE_SECURE": str(int(behind_tls)),
        "LABEL_STUDIO_SESSION_COOKIE_SAMESITE": "Lax",
        "LABEL_STUDIO_CSRF_COOKIE_SAMESITE": "Lax",
        "LABEL_STUDIO_USE_ENFORCE_CSRF_CHECKS": "true",
        "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "true",
        "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "true",
    }


def settings(places: Places, url: str = "http://127.0.0.1:8080", sam_port: int = SAM_PORT) -> dict[str, str]:
    """Return the environment of a server at `url`; DJANGO_DB and POSTGRE_* pass through from the caller's.

    The server also reads bare HOST, PORT, USERNAME and PASSWORD: its prefixed names, empty, outrank them.
    """
    passed = {name: value for name, value in environment.clean().items() if name.lower() not in HIDDEN}
    return (
        passed
        | gate(url)
        | {
            "MEMA_SAM_PORT": str(sam_port),
            "PYTHONPATH": str(IN_SERVER),
            "DJANGO_SETTINGS_MODULE": "mema_settings",
            "LABEL_STUDIO_BASE_DATA_DIR": str(places.data.resolve()),
            "LABEL_STUDIO_HOST": "",
            "LABEL_STUDIO_PORT": "",
            "LABEL_STUDIO_USERNAME": "",
            "LABEL_STUDIO_PASSWORD": "",
            "LABEL_STUDIO_DEBUG": "false",
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(places.served.resolve()),
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
            "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": banned_subnets(),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "fflag_fix_all_optic_79_task_count_is_wrong_short": "true",  # else progress reads "1 of 1"
        }
    )
