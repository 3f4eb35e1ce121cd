"""The judge's answers, counted by hand."""

import numpy as np
import pytest

from models.cohort.legibility import legibility
from models.diseases import DISEASES

NORMAL, BCC, TAO = (DISEASES.index(name) for name in ("normal", "bcc", "tao"))


def test_rates_macro_accuracy_and_confusion_by_hand():
    asked = np.array([NORMAL, NORMAL, BCC, BCC, BCC, TAO, TAO])
    severity = ["", "", "heavy", "heavy", "slight", "heavy", "slight"]
    judged = np.array([NORMAL, BCC, BCC, TAO, NORMAL, TAO, TAO])
    found = legibility(asked, severity, judged)
    assert (found["judged"], found["n"]) == (True, 7)
    assert found["severity"]["heavy"]["rate"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["severity"]["slight"] == {"n": 2, "rate": 0.5, "ci95": [0.094531, 0.905469]}
    assert found["severity"]["mid"] == {"n": 0, "rate": None, "ci95": [0.0, 1.0]}
    assert found["disease"]["bcc"]["rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["disease"]["normal"] | {"ci95": 0} == {"n": 2, "rate": 0.5, "ci95": 0}
    assert found["severity_disease"]["heavy"]["bcc"] | {"ci95": 0} == {"n": 2, "rate": 0.5, "ci95": 0}
    # heavy: normal 1/2, bcc 1/2, tao 1/1; slight: 1/2, 0/1, 1/1; mid: normal alone.
    assert found["macro_accuracy"] == {"heavy": 0.666667, "slight": 0.5, "mid": 0.5}
    assert found["macro_diseases"] == {"heavy": 3, "slight": 3, "mid": 1}
    counts = np.array(found["confusion"]["asked_by_judged"])
    assert counts.sum() == 7
    assert counts[BCC].tolist() == [1 if k in (NORMAL, BCC, TAO) else 0 for k in range(8)]
    assert counts[:, BCC].sum() == 2


def test_no_image_has_no_rate():
    found = legibility(np.zeros(0, np.int64), [], np.zeros(0, np.int64))
    assert found["macro_accuracy"] == {"slight": None, "mid": None, "heavy": None}
    assert found["disease"]["tao"]["rate"] is None
