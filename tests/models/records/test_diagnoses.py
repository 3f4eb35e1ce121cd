"""Cells of codes and texts name one class, or say why they name none."""

import pytest

from models.records.diagnoses import disease_of
from models.records.vocabulary import CODES, DIAGNOSES, TEXTS, key

ONE_CLASS = [
    ("Basal-Cell Carcinoma", "", "bcc"), ("", "c44.1121", "bcc"), ("SCC", "C44.122", "scc"),
    ("Graves' ophthalmopathy", "E05.0", "tao"), ("", "H02.401", "ptosis"), ("Squint", "H50.0", "strabismus"),
    ("healthy", "Z01.00", "normal"), ("", "Z01.0", "normal"), ("", "Z01.020", "normal"), ("iritis", "H20.0", "uveitis"),
    ("", "E05.0+ H06.2*", "tao"), ("", "E05.0† H06.2*", "tao"), ("", "C44.11-", "bcc"), ("", "C44.11.-", "bcc"),
    ("", "C 44.11", "bcc"), ("", "C4411", "bcc"), ("", "C44,11", "bcc"), ("", "C44.111/C44.1192", "bcc"),
    ("", "H10.1 G R", "conjunctivitis"), ("", "H10.1GB", "conjunctivitis"), ("", "ICD-10-GM: H10.1", "conjunctivitis"),
    ("", "H10.1; E11.9", "conjunctivitis"), ("-", "H10.1", "conjunctivitis"), ("k.A.", "H10.1", "conjunctivitis"),
    ("", "H10.1 Conjunctivitis", "conjunctivitis"), ("Conjunctivitis OD", "", "conjunctivitis"),
    ("BCC left lower eyelid", "", "bcc"), ("Basaliom Unterlid links", "", "bcc"),
    ("右眼结膜炎", "H10", "conjunctivitis"),
    ("双眼上睑下垂", "", "ptosis"), ("carcinome basocellulaire de la paupière inférieure", "", "bcc"),
    ("ohne Befund", "", "normal"), ("o. B.", "", "normal"), ("pas d'anomalie", "", "normal"),
    ("未见异常", "", "normal"),
]  # fmt: skip
NO_CLASS = [
    ("", "", "unknown"), ("", "C44.1", "unknown"), ("", "H1", "unknown"), ("", "XH10", "unknown"),
    ("", "H10.1.2", "unknown"), ("", "H10.99999", "unknown"), ("BCC, Katarakt", "", "unknown"),
    ("", "Z01.01", "unknown"), ("", "Z00.01", "unknown"), ("", "Z01.021", "unknown"),
    ("normal", "H40.1", "conflict"), ("normal", "Z01.01", "conflict"), ("something else", "H10.1", "conflict"),
    ("Uveitis", "H10.1", "conflict"), ("", "C44.11XYZ", "conflict"), ("", "Z01.0; E11.9", "conflict"),
    ("", "C44.11; C44.12", "several"), ("", "H10.1H20.0", "several"), ("", "H10-H20", "several"),
    ("", "H10.1,H20.0", "several"), ("", "H10.1; H40.1", "several"), ("BCC and SCC", "", "several"),
    ("BCC/SCC", "", "several"), ("normal links, BCC rechts", "", "several"), ("结膜炎、葡萄膜炎", "", "several"),
    ("", "Z01.00 H10.1", "several"),
]  # fmt: skip
DOUBTFUL = [
    "BCC?", "BCC ？", "BCC (-)", "BCC neg", "~BCC", "V.a. BCC", "V. a. BCC", "Va BCC", "Verdacht auf BCC", "Z.n. BCC",
    "Z. n. Basaliom", "BCC ausgeschlossen", "Ausschluss BCC", "kein BCC", "DD BCC", "BCC DD SCC", "BCC oder SCC",
    "status post BCC", "s/p BCC", "St.p. BCC", "history of BCC", "r/o BCC", "rule out BCC", "BCC ruled out",
    "suspected BCC", "susp. BCC", "possible BCC", "no BCC", "not BCC", "BCC excluded", "excised BCC", "BCC vs SCC",
    "pas de conjonctivite", "suspicion de carcinome basocellulaire", "conjonctivite exclue", "antécédent de BCC",
    "疑似基底细胞癌", "结膜炎待查", "排除结膜炎", "基底细胞癌术后", "无结膜炎", "结膜炎?",
    "no abnormal findings", "normal?",
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "expected"), ONE_CLASS + NO_CLASS)
def test_texts_and_codes(text, code, expected):
    assert disease_of(text, code) == expected


@pytest.mark.parametrize("text", DOUBTFUL)
def test_doubt_exclusion_and_the_past_are_no_diagnosis(text):
    assert disease_of(text, "") == "doubtful"
    assert disease_of(text, "C44.11") == "doubtful"


@pytest.mark.parametrize(
    "code", ["C44.11 excluded", "C44.11?", "C44.11 V", "C44.11V", "H20.0 Z", "H10.1A", "V.a. C44.11"]
)
def test_doubt_beside_a_code(code):
    assert disease_of("", code) == "doubtful"


def test_a_column_of_certainty_counts():
    assert [disease_of("BCC", "", word) for word in ("", "G", "gesichert", "V", "Verdacht", "Ausschluss")] == [
        "bcc", "bcc", "bcc", "doubtful", "doubtful", "doubtful"]  # fmt: skip


def test_no_word_or_code_belongs_to_two_classes():
    written = {key(word) for texts, _ in DIAGNOSES.values() for word in texts.split(",")}
    assert written == set(TEXTS)
    assert len(CODES) == sum(len(codes) for _, codes in DIAGNOSES.values())
