"""A folder is listed whole: every entry is a photo, another file or a trouble, under a name of its own."""

import os
import stat
import unicodedata

import pytest

from models.photos import listing
from models.photos.listing import fold, list_folder

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def put(folder, contents):
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_names_that_differ_in_unicode_form_alone_are_two_and_ambiguous(tmp_path):
    composed, split = (unicodedata.normalize(form, "Zoë.png") for form in ("NFC", "NFD"))
    for name in (composed, split, "Anna.png"):
        (tmp_path / name).write_bytes(PNG)
    found = list_folder(tmp_path)
    assert set(found.photos) == {composed, split, "Anna.png"}
    assert {path.name for path in found.photos.values()} == {composed, split, "Anna.png"}
    assert sorted(found.find(composed)) == sorted([composed, split])
    assert found.ambiguous() == {composed, split}
    assert found.find("./ANNA.PNG") == ["Anna.png"]


def test_bytes_that_are_no_utf8_stay_distinct(tmp_path):
    names = [b"M\xfcller.png", b"M\xf6ller.png", rb"M\xfcller.png", "Müller.png".encode()]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as handle:
            handle.write(PNG)
    found = list_folder(tmp_path)
    assert len(found.photos) == 4
    assert {os.fsencode(path.name) for path in found.photos.values()} == set(names)
    assert all(name.encode() for name in found.photos)  # text that every table and terminal takes


def test_other_files_are_told_apart_and_counted(tmp_path):
    put(tmp_path, {"a.png": PNG, "deep/b.png": PNG, "a.json": b"{}", "notes.txt": b"x", "zero.jpg": b""})
    put(tmp_path, {"Thumbs.db": b"\xd0\xcf", ".DS_Store": b"\0", "._a.png": b"\0\5\x16\7", "a.xmp": b"<x>"})
    put(tmp_path, {"really.txt": PNG, "unknown": b"?", "film.mp4": b"\0\0\0\x18ftypmp42",
                   "scan.txt": b"\0\0\0\x0cjP  \r\n"})  # fmt: skip
    found = list_folder(tmp_path)
    assert set(found.photos) == {"a.png", "deep/b.png", "really.txt", "unknown", "film.mp4", "scan.txt"}
    assert found.count_others() == {"empty": 1, "metadata": 1, "system": 3, "text": 2}
    assert found.others["zero.jpg"] == "empty"


def test_links_and_pipes_are_entries_with_a_reason_and_are_not_followed(tmp_path):
    put(tmp_path, {"out/secret.png": PNG, "in/a.png": PNG})
    (tmp_path / "in/link.png").symlink_to(tmp_path / "out/secret.png")
    (tmp_path / "in/folder").symlink_to(tmp_path / "out")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    os.mkfifo(tmp_path / "in/pipe.png")
    found = list_folder(tmp_path / "in")
    assert set(found.photos) == {"a.png"}
    assert {name: reason for name, (reason, _) in found.refused.items()} == {
        "folder": "symbolic_link", "link.png": "symbolic_link", "round": "symbolic_link", "pipe.png": "not_a_file",
    }  # fmt: skip
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/photos").symlink_to(tmp_path / "out")
    assert list_folder(tmp_path / "raw", "photos/**/*").refused["photos"][0] == "symbolic_link"


def test_a_folder_that_cannot_be_read_and_an_entry_that_vanishes_have_reasons(tmp_path, monkeypatch):
    put(tmp_path, {"a.png": PNG, "closed/b.png": PNG, "gone.png": PNG})
    scandir = os.scandir

    class Gone:
        """An entry whose file was removed between the listing and the look at it."""

        def __init__(self, entry):
            self.name, self.path = entry.name, entry.path
            self._entry = entry

        def stat(self, **options):
            if self.name == "gone.png":
                os.unlink(self.path)
            return os.stat(self.path, **options)

    class Scan:
        def __init__(self, path):
            if str(path).endswith("closed"):
                raise PermissionError(13, "closed")
            with scandir(path) as entries:
                self.entries = [Gone(entry) for entry in entries]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(listing.os, "scandir", Scan)
    found = list_folder(tmp_path)
    assert set(found.photos) == {"a.png"}
    assert found.refused == {
        "closed": ("unreadable_folder", "PermissionError"), "gone.png": ("unreadable_file", "FileNotFoundError"),
    }  # fmt: skip


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_without_permission_is_a_reason(tmp_path):
    put(tmp_path, {"closed/b.png": PNG})
    (tmp_path / "closed").chmod(0)
    try:
        assert list_folder(tmp_path).refused["closed"][0] == "unreadable_folder"
    finally:
        (tmp_path / "closed").chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("pattern", "expected", "outside"),
    [
        ("**/*", {"a.png", "photos/b.png", "photos/x/c.jpg"}, 0),
        ("photos/**/*", {"photos/b.png", "photos/x/c.jpg"}, 0),
        ("photos/*.png", {"photos/b.png"}, 0),
        ("photos/**/*.jpg", {"photos/x/c.jpg"}, 1),
        ("*", {"a.png"}, 0),
        ("nowhere/**/*", set(), 0),
    ],
)
def test_patterns(tmp_path, pattern, expected, outside):
    put(tmp_path, {"a.png": PNG, "photos/b.png": PNG, "photos/x/c.jpg": PNG})
    found = list_folder(tmp_path, pattern)
    assert (set(found.photos), found.num_outside) == (expected, outside)


def test_patterns_that_lead_out_and_sources_that_are_none(tmp_path):
    for pattern in ("/etc/*", "../*", "photos/../../*"):
        with pytest.raises(ValueError, match="leads out of the source folder"):
            list_folder(tmp_path, pattern)
    with pytest.raises(ValueError, match="is no folder"):
        list_folder(tmp_path / "nowhere")


def test_a_path_from_elsewhere_means_the_photos_whose_path_it_ends_with(tmp_path):
    put(tmp_path, {"photos/x/a.png": PNG, "photos/y/a.png": PNG, "photos/b.jpg": PNG})
    found = list_folder(tmp_path)
    assert found.meant_by(r"C:\Klinik\Photos\Y\A.png") == ["photos/y/a.png"]
    assert sorted(found.meant_by("a.png")) == ["photos/x/a.png", "photos/y/a.png"]
    assert found.meant_by("photos/z/a.png") == []  # another folder's file of that name
    assert found.meant_by("/elsewhere/b.jpeg", "photos") == ["photos/b.jpg"]
    assert found.meant_by("b", "photos") == ["photos/b.jpg"]


def test_spellings_of_one_path_fold_alike():
    spellings = ("Photos/É.JPG", "photos\\e\u0301.jpg", "./photos//é.jpg ", "photos/\u200bé.jpg")
    assert len({fold(spelling) for spelling in spellings}) == 1
