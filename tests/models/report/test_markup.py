"""Escaping by construction, and plots that hold what they were given."""

import base64

import numpy as np

from models.images import decode, encode_png
from models.report.markup import Markup, table, tag
from models.report.pictures import LARGEST_PX, WITHHELD, Face, data_uri, picture
from models.report.plots import heat_table, interval_plot, share_bars


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    made = tag("p", "<b>", Markup("<i>x</i>"), None, 3, title='"&', class_="a", aria_label=None)
    assert made == '<p title="&quot;&amp;" class="a">&lt;b&gt;<i>x</i>3</p>'
    assert tag("img", src="", alt="") == '<img src="" alt="">'


def test_a_table_heads_its_rows_and_columns() -> None:
    made = table(("a", "b"), [("<x>", 1)], caption="c")
    assert '<th scope="col">b</th>' in made
    assert '<th scope="row">&lt;x&gt;</th><td>1</td>' in made


def test_small_pictures_stay_as_they_are_and_large_ones_shrink() -> None:
    small = encode_png(np.full((96, 96, 3), 7, np.uint8))
    assert base64.b64decode(data_uri(small).partition(",")[2]) == small
    large = encode_png(np.full((512, 512, 3), (200, 10, 10), np.uint8))
    shrunk = decode(base64.b64decode(data_uri(large).partition(",")[2]))
    assert shrunk.shape == (LARGEST_PX, LARGEST_PX, 3)
    assert np.abs(shrunk.astype(int) - (200, 10, 10)).max() < 8  # red stays red


def test_a_withheld_picture_is_a_grey_place_with_words() -> None:
    made = picture(Face(None, WITHHELD, "weight 0.2"))
    assert "<img" not in made
    assert WITHHELD in made


def test_the_plot_places_rates_and_names_empty_arms() -> None:
    rate = {"n": 10, "rate": 0.5, "ci95": [0.25, 0.75]}
    made = interval_plot({"<arc>": {"direct": rate, "injected": {"n": 0}}}, {"<arc>": {"direct": 0.0}})
    left, right = 180, 990
    assert f'cx="{(left + right) // 2}"' in made
    assert f'd="M{left} ' in made
    assert made.count("no image") == 3
    assert "&lt;arc&gt;" in made


def test_bars_are_as_high_as_their_shares() -> None:
    made = share_bars("gender", {"patients": {"f": 0.4, "m": 0.1}, "random": {"f": 0.2, "m": 0.3}}, {"f": "female"})
    assert [f'height="{h}"' in made for h in ("170", "42.5", "85", "127.5")] == [True] * 4
    assert "female, random: 20.0\u00a0%" in made


def test_a_confusion_shades_by_row() -> None:
    made = heat_table(("a", "b"), [[3, 1], [0, 2]], "asked")
    assert 'rgba(20,104,158,0.41)">3<' in made
    assert 'rgba(184,67,31,0.14)">1<' in made
