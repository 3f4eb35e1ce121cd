"""The environment in which Label Studio runs: headless, silent to the outside, closed to sign-up."""

from ipaddress import IPv4Network
from pathlib import Path

from tasks.label_studio import environment
from tasks.label_studio.places import Places

IN_SERVER = Path(__file__).with_name("in_server")  # modules that the server imports: its own Python, not ours
# What the server refuses to call by itself, but loopback, which `banned_subnets` narrows down.
RESERVED = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "233.252.0.0/24", "240.0.0.0/4", "255.255.255.255/32"),
    *("::/128", "::1/128", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
    *("100::/64", "2001::/32", "2001:20::/28", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10"),
    "ff00::/8",
)


def banned_subnets() -> str:
    """Return the networks that stay closed to the server's own requests: all reserved ones but 127.0.0.1."""
    rest = IPv4Network("127.0.0.0/8").address_exclude(IPv4Network("127.0.0.1/32"))
    return ",".join([*RESERVED, *map(str, sorted(rest))])


def settings(places: Places) -> dict[str, str]:
    """Return the server's environment; DJANGO_DB and POSTGRE_* pass through from the caller's.

    The server also reads bare HOST, PORT, USERNAME and PASSWORD: its prefixed names, empty, outrank them.
    """
    return environment.clean() | {
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
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": banned_subnets(),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "fflag_fix_all_optic_79_task_count_is_wrong_short": "true",  # else progress reads "1 of 1"
    }
