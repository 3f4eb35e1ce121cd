import os
from pathlib import Path

import pytest

from mema.label_studio.server.access import SAM_HOST, Target, target_here
from mema.label_studio.server.places import Account, Accounts, Places, read_accounts, write_accounts

ONE = Account("reader_1@mema.local", "secret", "token", 1, 2)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def test_accounts_survive_and_only_their_owner_reads_them(places: Places) -> None:
    accounts = Accounts("http://127.0.0.1:8080", {"reader_1": ONE})
    before = os.umask(0o022)
    os.umask(before)
    write_accounts(places, accounts)
    assert read_accounts(places) == accounts
    assert places.accounts.stat().st_mode & 0o777 == 0o600
    assert os.umask(before) == before


def test_without_accounts_the_remedy_is_to_start(places: Places) -> None:
    with pytest.raises(ValueError, match=r"accounts.json: not found; start the server first"):
        read_accounts(places)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"url": "x", "readers": {"a": {"email": "b"}}}'])
def test_damaged_accounts_are_named(places: Places, text: str) -> None:
    places.accounts.write_text(text)
    with pytest.raises(ValueError, match=r"accounts\.json: damaged; move it away"):
        read_accounts(places)


def test_a_reader_without_an_account_is_named(places: Places) -> None:
    write_accounts(places, Accounts("http://127.0.0.1:1", {"reader_1": ONE}))
    target = Target(places, "http://127.0.0.1:1")
    assert target.account("reader_1") == ONE
    with pytest.raises(ValueError, match=r"annotate.readers: 'reader_9' has no account in .*make label-studio"):
        target.account("reader_9")


def test_the_address_is_the_environment_s_or_the_started_server_s(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_accounts(places, Accounts("http://127.0.0.1:8123", {}))
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.setenv("MEMA_SAM_PORT", "9191")
    assert target_here(places.root) == Target(places, "http://127.0.0.1:8123", f"http://{SAM_HOST}:9191")
    monkeypatch.setenv("LABEL_STUDIO_URL", "https://annotate.example/")
    assert target_here(places.root, sam=False) == Target(places, "https://annotate.example", "")
