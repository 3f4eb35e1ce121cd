"""What the server lets in and out, beyond its own settings.

In: the community edition switches Django's check of forged requests off for its whole API, whose pages send no token.
A browser says with every such request which page it comes from, and this asks for it. Out: readers may name addresses
that the server then calls; one is left, the SAM backend's, where the server's settings know addresses but no ports.
"""

import os
import re
from urllib.parse import urlsplit

from core.middleware import DisableCSRF  # pyright: ignore[reportMissingImports]
from core.utils import io  # pyright: ignore[reportMissingImports]
from core.utils.exceptions import SsrfBlockedUrlError  # pyright: ignore[reportMissingImports]
from django.conf import settings  # pyright: ignore[reportMissingImports]
from django.http import JsonResponse  # pyright: ignore[reportMissingImports]

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
IMPORT = re.compile(r"/api/projects/\d+/(re)?import/?")
OTHER_STORAGES = re.compile(r"/api/storages/(?!localfiles(/|$))")


class Gate(DisableCSRF):
    """Refuses what a page of another site sends under a reader's session, and imports from other machines."""

    def process_view(self, request, callback, *args, **kwargs):
        """Answer 403, or go on as the server would."""
        if request.method not in SAFE_METHODS:
            if is_forgeable(request) and origin(request) not in settings.MEMA_ORIGINS:
                return JsonResponse({"detail": "not sent by a page of this server"}, status=403)
            if IMPORT.fullmatch(request.path) and request.content_type != "application/json":
                return JsonResponse({"detail": "tasks come from a push alone"}, status=403)
            if OTHER_STORAGES.match(request.path):
                return JsonResponse({"detail": "no storage but the folder of images"}, status=403)
        return super().process_view(request, callback, *args, **kwargs)


def is_forgeable(request):
    """Tell whether a browser would send this request for any page: a token in a header it would not."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES and "HTTP_AUTHORIZATION" not in request.META


def origin(request):
    """Return scheme, host and port of the page that sent a request, empty where it does not say."""
    if named := request.META.get("HTTP_ORIGIN"):
        return named
    page = urlsplit(request.META.get("HTTP_REFERER", ""))
    return f"{page.scheme}://{page.netloc}"


def only_the_backend():
    """Let the server's guarded connections go to the backend's port alone; their addresses are its settings'."""
    guarded, port = io._SsrfGuardedConnectionMixin, int(os.environ["MEMA_SAM_PORT"])
    connect = guarded._new_conn

    def connect_to_backend(self):
        if self.port != port:
            raise SsrfBlockedUrlError(f"port {self.port} is not the backend's")
        return connect(self)

    guarded._new_conn = connect_to_backend


only_the_backend()
