"""The start page: each answer follows from the metrics, and none is given where nothing was measured."""

import copy
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mema.project import start_page
from mema.project.start_page import NO, OPEN, YES

ROOT = Path(__file__).parents[3]


def rate(low: float, value: float, high: float, n: int = 400) -> dict[str, Any]:
    return {"rate": value, "ci95": [low, high], "n": n, "leaked": round(value * n)}


def estimate(value: float, reach: float, n: int = 41) -> dict[str, Any]:
    return {"value": value, "ci95": [value - reach, value + reach], "n": n}


def measured() -> dict[str, Any]:
    """Metrics of which every answer is the good one."""
    judge = {"released": rate(0, 0.01, 0.03), "floor": rate(0, 0.02, 0.05), "ceiling": rate(0.9, 1, 1, 20)}
    pair = {"guided": estimate(0.01, 0.005), "random": estimate(0.2, 0.02)}
    signs = [{"method": "medsem", "all": estimate(0.8, 0.05)}, {"method": "identity", "all": estimate(0.82, 0.05)}]
    psnr = [
        {"method": "medsem", "image": "recovered", "psnr": estimate(27, 0.5)},
        {"method": "medsem", "image": "wrong", "psnr": estimate(14, 0.5)},
    ]
    return {
        "recheck_identity": {"recognisers": {"held_out": judge}},
        "distribution": {"n": {"guided": 398}, "wasserstein": {name: pair for name in ("disease", "age", "gender")}},
        "legibility": {"judged": True, "disease": {"bcc": rate(0.7, 0.8, 0.9), "tao": rate(0.6, 0.7, 0.8)}},
        "medical": {"rows": signs},
        "reversibility": {"rows": psnr},
        "annotations": {"source": "simulated"},
    }


def told(found: dict[str, Any]) -> list[str]:
    return [one.answer for one in start_page.answers(found)]


def test_what_is_measured_well_is_answered_and_the_attacker_is_not():
    assert told(measured()) == [NO, YES, YES, YES, OPEN, YES]


def test_nothing_measured_is_nothing_told():
    assert told(dict.fromkeys(start_page.METRICS)) == [OPEN] * 6


@pytest.mark.parametrize(
    ("place", "value", "answer"),
    [
        (("recheck_identity", "recognisers", "held_out", "released"), rate(0.2, 0.3, 0.4), YES),
        (("recheck_identity", "recognisers", "held_out", "released"), rate(0.0, 0.05, 0.4, 9), OPEN),
        (("recheck_identity", "recognisers", "held_out", "ceiling"), rate(0.1, 0.3, 0.5, 20), OPEN),
        (("distribution", "wasserstein", "age", "guided"), estimate(0.3, 0.01), NO),
        (("distribution", "wasserstein", "age", "guided"), estimate(0.15, 0.1), OPEN),
        (("legibility", "disease", "tao"), rate(0.1, 0.2, 0.3), NO),
        (("legibility", "disease", "tao"), rate(0.3, 0.5, 0.7), OPEN),
        (("legibility", "judged"), False, OPEN),
        (("medical", "rows", 0, "all"), estimate(0.6, 0.05), NO),
        (("medical", "rows", 0, "all"), estimate(0.75, 0.1), OPEN),
        (("reversibility", "rows", 0, "psnr"), estimate(18, 0.5), NO),
        (("reversibility", "rows", 1, "psnr"), estimate(26, 0.5), NO),
    ],
)
def test_an_answer_moves_with_its_figures_and_the_others_stay(place, value, answer):
    found = copy.deepcopy(measured())
    part: Any = found
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    index = ["recheck_identity", "distribution", "legibility", "medical", "", "reversibility"].index(place[0])
    expected = told(measured())
    expected[index] = answer
    assert told(found) == expected


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value]


def test_the_page_links_what_is_there_and_says_what_it_is_of(tmp_path):
    for name, content in measured().items():
        path = tmp_path / f"data/metrics/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    page = tmp_path / "data/report/index.html"
    page.parent.mkdir()
    page.write_text("<html>")
    text = start_page.write("a<b", tmp_path).read_text()
    links = Links()
    links.feed(text)
    assert links.found.count("report/index.html") == 4  # three answers and a card
    assert "not made yet: make demo" in text
    assert "Simulated readers stand in" in text
    assert "profile a&lt;b" in text
    assert text.count('class="asked"') == 6


def test_the_metrics_in_git_give_an_answer_or_say_why_not():
    found = {name: json.loads((ROOT / f"data/metrics/{name}.json").read_text()) for name in start_page.METRICS}
    for one in start_page.answers(found):
        assert one.answer in (YES, NO, OPEN)
        assert "n = " in one.why or "No stage asks" in one.why
