"""Verdicts by hand: who decides what, and what nobody can decide."""

import pyarrow as pa
import pytest

from models.annotation.adjudication import COLUMNS, adjudicate, disagreements

LOW = "low"


def votes(*said: str, senior: str = "", image_id: str = "x") -> pa.Table:
    """One vote per word: a disease, "low", "disease/severity", or "" for a reader who did not vote."""
    rows = [(f"r{number}", "reading", word) for number, word in enumerate(said) if word]
    rows += [("boss", "adjudication", senior)] if senior else []
    return pa.Table.from_pylist([vote(image_id, *row) for row in rows])


def vote(image_id: str, reader: str, round_: str, word: str, copy: int = 0) -> dict:
    disease, _, severity = word.partition("/")
    quality = LOW if disease == LOW else "usable"
    values = (image_id, reader, round_, copy, "" if quality == LOW else disease, severity, quality)
    return dict(zip(COLUMNS, values, strict=True))


@pytest.mark.parametrize(
    ("said", "senior", "expected"),
    [
        (("bcc", "bcc", "bcc"), "", ("bcc", "usable", "unanimous", "")),
        (("bcc", "scc", "bcc"), "", ("bcc", "usable", "majority", "")),
        (("bcc", "bcc", ""), "", ("bcc", "usable", "unanimous", "")),
        (("bcc", "scc", "bcc"), "tao", ("bcc", "usable", "majority", "")),  # nobody asked the senior
        (("bcc", "scc", "tao"), "", ("", "", "", "disease_split")),
        (("bcc", "scc", "tao"), "scc", ("scc", "usable", "senior", "")),
        (("bcc", "scc", "tao"), "low", ("", "low", "senior", "")),
        (("bcc", "scc", ""), "", ("", "", "", "disease_split")),
        (("bcc", "low", ""), "", ("", "", "", "quality_tie")),
        (("bcc", "low", ""), "normal", ("normal", "usable", "senior", "")),
        (("bcc", "low", "bcc"), "", ("bcc", "usable", "majority", "")),
        (("bcc", "low", "scc"), "", ("", "", "", "disease_split")),
        (("low", "low", "bcc"), "", ("", "low", "majority", "")),
        (("low", "low", "low"), "", ("", "low", "unanimous", "")),
        (("bcc", "", ""), "", ("", "", "", "too_few_votes")),
        (("bcc", "bcc", "scc", "scc"), "", ("", "", "", "disease_split")),
        (("low", "low", "bcc", "bcc", "scc"), "", ("bcc", "usable", "majority", "")),  # two of three
        (("bcc", "bcc", "", ""), "", ("", "", "", "too_few_votes")),
    ],
)
def test_who_decides(said, senior, expected):
    (verdict,) = adjudicate(votes(*said, senior=senior), len(said))
    assert (verdict.disease, verdict.quality, verdict.decided_by, verdict.unresolved) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("bcc/slight", "bcc/slight", "bcc/heavy"), "slight"),
        (("bcc/slight", "bcc/heavy", "bcc"), "mid"),
        (("bcc/slight", "bcc/mid", "bcc/heavy"), "mid"),
        (("bcc/heavy", "bcc/slight", "scc/slight"), "mid"),  # who saw another disease grades another thing
        (("bcc", "bcc", "scc/heavy"), ""),
        (("normal/slight", "normal/slight", "normal"), ""),
    ],
)
def test_severity_is_the_majoritys_and_a_tie_the_middle(said, expected):
    (verdict,) = adjudicate(votes(*said), 3)
    assert verdict.severity == expected


def test_the_senior_grades_what_the_senior_decides():
    said = ("bcc/slight", "scc/slight", "tao/slight")
    assert [one.severity for one in adjudicate(votes(*said, senior="bcc/heavy"), 3)] == ["heavy"]
    assert [one.severity for one in adjudicate(votes(*said, senior="bcc"), 3)] == ["slight"]
    assert [one.severity for one in adjudicate(votes(*said, senior="normal/mid"), 3)] == [""]


def test_a_hidden_repeat_never_votes():
    rows = [vote("x", "r0", "reading", "bcc"), vote("x", "r1", "reading", "scc")]
    rows += [vote("x", "r0", "reading", "bcc", copy=1)]
    (verdict,) = adjudicate(pa.Table.from_pylist(rows), 3)
    assert verdict.unresolved == "disease_split"
    (alone,) = adjudicate(pa.Table.from_pylist(rows[2:]), 1)
    assert alone.unresolved == "too_few_votes"


def test_the_senior_sees_what_the_readers_left_open_and_no_more():
    tables = [
        votes("bcc", "scc", "tao", image_id="split"),
        votes("bcc", "low", "", image_id="quality"),
        votes("bcc", "bcc", "", image_id="agreed"),
        votes("bcc", "", "", image_id="waiting"),
        votes("scc", "bcc", "tao", senior="bcc", image_id="done"),
    ]
    assert disagreements(pa.concat_tables(tables), 3) == ["done", "quality", "split"]
