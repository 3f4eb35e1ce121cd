"""Runs inside the server's environment: an account, and an organisation of his own, for every reader.

The community edition shows every project to every member of an organisation, so blinding is one organisation
per reader. Names and e-mail addresses come as JSON on stdin: {"reader_1": {"email", "password" or null}};
the accounts go to stdout as JSON. Calling it again changes nothing, except that an account whose password
is null gets a new one.
"""

import json
import os
import secrets
import sys
from typing import Any

OPERATORS = "MeMa operators"


def setup() -> None:
    """Load the server's settings (DJANGO_SETTINGS_MODULE), as its own commands do."""
    import label_studio

    sys.path.insert(0, os.path.dirname(label_studio.__file__))
    import django  # pyright: ignore[reportMissingImports]

    django.setup()


def let_readers_write_while_others_read() -> None:
    """Turn SQLite's write-ahead log on, which stays with the file: else a submit during an export fails."""
    from django.db import connection  # pyright: ignore[reportMissingImports]

    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=wal")
        (mode,) = cursor.fetchone()
    if mode != "wal":
        raise SystemExit(f"SQLite keeps its journal in mode {mode!r}; is the folder on a network share?")


def reserve_first_organisation() -> None:
    """Put an empty organisation first: whoever signs up by invitation lands in the oldest one."""
    from organizations.models import Organization  # pyright: ignore[reportMissingImports]

    first = Organization.objects.order_by("pk").first()
    if first is None:
        Organization.objects.create(title=OPERATORS, created_by=None)
    elif first.title != OPERATORS:
        raise SystemExit(
            f"the oldest organisation is {first.title!r}, where everyone who signs up would land; "
            f"give the annotation a database of its own"
        )


def account(name: str, email: str, password: str | None) -> dict[str, Any]:
    """Return one reader's account, made where it is missing."""
    from django.contrib.auth import get_user_model  # pyright: ignore[reportMissingImports]
    from organizations.models import Organization  # pyright: ignore[reportMissingImports]
    from rest_framework.authtoken.models import Token  # pyright: ignore[reportMissingImports]

    users = get_user_model().objects
    user = users.filter(email=email).first()
    if user is None:
        user = users.create_user(email=email, username=name, first_name=name)
        password = None
    if password is None:
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save()
    own = Organization.objects.filter(created_by=user).first()
    if own is None:
        own = Organization.create_organization(created_by=user, title=f"MeMa {name}", legacy_api_tokens_enabled=True)
    seclude(user, own)
    token, _ = Token.objects.get_or_create(user=user)
    return {"email": email, "password": password, "token": token.key, "user_id": user.pk, "organisation": own.pk}


def seclude(user: Any, own: Any) -> None:
    """Leave the reader in his own organisation only, alone there, with his API token valid."""
    from organizations.models import OrganizationMember  # pyright: ignore[reportMissingImports]

    OrganizationMember.objects.filter(user=user).exclude(organization=own).delete()
    OrganizationMember.objects.filter(organization=own).exclude(user=user).delete()
    own.add_user(user)
    if user.active_organization_id != own.pk:
        user.active_organization = own
        user.save(update_fields=["active_organization"])
    if not own.jwt.legacy_api_tokens_enabled:
        own.jwt.legacy_api_tokens_enabled = True
        own.jwt.save()


def main() -> None:
    """Read the names, make the accounts in one transaction, write them out."""
    names = json.load(sys.stdin)
    setup()
    from django.db import transaction  # pyright: ignore[reportMissingImports]

    let_readers_write_while_others_read()
    with transaction.atomic():
        reserve_first_organisation()
        made = {name: account(name, wish["email"], wish["password"]) for name, wish in names.items()}
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
