"""Which passphrases seal, which only open, and what an editor adds to a file."""

import stat
from pathlib import Path

import pytest
import yaml

from mema.hospital.keys import make_key_file, read_passphrase
from mema.hospital.sidecar import new_keys, open_sealed, seal
from mema.hospital.strength import MIN_LOG10_GUESSES, log10_guesses
from models.concealing.passwords import KdfParameters
from tests.mema.hospital.workspace import PASSPHRASE, encoded, mema, smooth, write_key

CHEAP = KdfParameters(1, 8, 1)
WEAK = (
    "aaaaaaaaaaaa", " " * 12, "\u00a0" * 14, "\t" * 13, "123456789012", "qwertyuiop12", "abcabcabcabc",
    "password1234", "Passwort1234!", "p a s s w o r d", "p 4 s s w 0 r d 1", "Krankenhaus2026", "letmeinletmein!!",
    "universitätsklinikum", "dermatologie2026", "\U0001f44d" * 12, "x" * 3000,
    "correct horse battery staple", "Correct-Horse-Battery-Staple",
)  # fmt: skip


@pytest.fixture
def key(tmp_path):
    def write(data: bytes) -> Path:
        path = tmp_path / "key"
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    return write


@pytest.mark.parametrize("text", WEAK)
def test_a_weak_passphrase_seals_nothing_but_opens_what_it_sealed(key, text):
    path = key(text.encode())
    with pytest.raises(ValueError, match="six random words, or a file that `mema key new` makes") as error:
        read_passphrase(path, CHEAP, new=True)
    assert text.strip() == "" or text not in str(error.value)
    assert read_passphrase(path, CHEAP).text == text.rstrip("\n")


@pytest.mark.parametrize(
    "text", ["correct horse battery", "q7TkP2mVx9Za4r", "Blauer Fuchs trinkt Tinte", "x" * 80 + "q7TkP2mVx9Za4r"]
)
def test_a_strong_passphrase_seals(key, text):
    assert read_passphrase(key(text.encode()), CHEAP, new=True).text == text


@pytest.mark.parametrize(
    "written", ["{}", "{}\n", "{}\r\n", "\ufeff{}", "\ufeff{}\r\n", "{}\n\n", "{}\r\n\r\n", "{}\r"]
)
def test_what_an_editor_adds_makes_no_other_passphrase(key, written):
    plain = read_passphrase(key(PASSPHRASE.encode()), CHEAP)
    sealed = seal(b"secret", new_keys(plain), plain)
    edited = read_passphrase(key(written.format(PASSPHRASE).encode()), CHEAP)
    assert open_sealed(sealed, edited)[0] == b"secret"
    assert edited.text == PASSPHRASE


def test_lines_of_a_key_are_joined_by_one_kind_of_break(key):
    texts = {read_passphrase(key(b"one line\n".replace(b"\n", end) + b"and more"), CHEAP).text
             for end in (b"\n", b"\r\n")}  # fmt: skip
    assert texts == {"one line\nand more"}


@pytest.mark.parametrize("written", ["\ufeff{}", "\ufeff{}\r\n", "{}\n\n", "{}\r\n\r\n"])
def test_what_such_a_file_sealed_before_still_opens(key, written):
    """Earlier versions took off one line break, and kept the mark."""
    data = written.format(PASSPHRASE)
    before = data.removesuffix("\n").removesuffix("\r")
    from models.concealing.passwords import Passphrase

    old = Passphrase(before, CHEAP)
    sealed = seal(b"secret", new_keys(old), old)
    assert open_sealed(sealed, read_passphrase(key(data.encode()), CHEAP))[0] == b"secret"


def test_a_key_is_made_strong_private_and_never_twice(tmp_path):
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        make_key_file(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert log10_guesses(path.read_text().strip()) > 2 * MIN_LOG10_GUESSES
    assert paths[0].read_text() != paths[1].read_text()
    before = paths[0].read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for taken in (paths[0], tmp_path / "link"):
        with pytest.raises(ValueError, match="never overwritten"):
            make_key_file(taken)
    assert paths[0].read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_makes_a_key_that_seals_and_opens(hospital):
    made = mema("key", "new", "fresh")
    assert made.exit_code == 0
    assert "Back it up" in made.output
    assert Path("fresh").read_text().strip() not in made.output
    assert mema("key", "new", "fresh").exit_code == 2
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert mema("deid", "photos", "out", "--key-file", "fresh", "--aligned").exit_code == 0
    assert mema("restore", "out", "back", "--key-file", "fresh").exit_code == 0


def test_a_key_and_a_log_in_the_folder_that_leaves_are_refused(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    hospital.out.mkdir()
    inside = write_key("out/key", PASSPHRASE)
    result = mema("deid", hospital.photos, hospital.out, "--key-file", inside)
    assert result.exit_code == 2
    assert "--key-file: lies within OUT" in result.output
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["deid_files"]["audit_log"] = "out/audit.jsonl"
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    result = hospital.deid()
    assert result.exit_code == 2
    assert "deid_files.audit_log: lies within OUT" in result.output
    assert [path.name for path in hospital.out.iterdir()] == ["key"]


def test_a_single_picture_s_folder_gets_no_report_log_or_key(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    leaves = Path("../leaves").resolve()
    leaves.mkdir()
    picture, more = leaves / "a.png", ("--aligned", "--key-file")
    assert "--key-file: lies within OUT" in mema(
        "deid", hospital.photos / "a.png", picture, *more, write_key(str(leaves / "key"), PASSPHRASE)
    ).output  # fmt: skip
    settings = yaml.safe_load(Path("params.yaml").read_text())
    settings["deid_files"]["reports"] = str(leaves)
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    result = mema("deid", hospital.photos / "a.png", picture, *more, hospital.key)
    assert result.exit_code == 2
    assert "deid_files.reports: lies within OUT" in result.output
    assert [path.name for path in leaves.iterdir()] == ["key"]


def test_a_key_file_that_is_a_link_is_refused(hospital):
    Path("link").symlink_to("key")
    result = mema("deid", "photos", "out", "--key-file", "link", "--aligned")
    assert result.exit_code == 2
    assert "link is a link; name the file that it leads to" in result.output


def test_rekeying_to_a_weak_or_the_same_passphrase_is_refused(hospital):
    (hospital.photos / "a.png").write_bytes(encoded(smooth(1)))
    assert hospital.deid().exit_code == 0
    before = (hospital.out / "a.png.png.mema").read_bytes()
    for name, text, told in (("weak", "aaaaaaaaaaaa", "guesses find it"), ("same", PASSPHRASE, "present one")):
        write_key(name, text)
        result = mema("rekey", hospital.out, "--key-file", hospital.key, "--new-key-file", name)
        assert result.exit_code == 2
        assert told in result.output
    assert (hospital.out / "a.png.png.mema").read_bytes() == before
