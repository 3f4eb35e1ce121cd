"""Table 4 from a CSV and from Label Studio's export: the same answers give the same table."""

import json

import pytest
from sklearn.metrics import cohen_kappa_score

from mema.params.deidentify import EvaluateClinical
from tasks.deidentify import evaluate_clinical

SECTION = EvaluateClinical(diseases=("bcc", "tao", "normal"), num_readers=3, bootstrap=50, seed=7)
TRUTH = ["bcc", "tao", "normal", "bcc", "tao", "normal", "bcc", "tao"]
BLUR = ["bcc", "tao", "normal", "tao", "tao", "bcc", "bcc", "tao"]
ANSWERS = [
    (f"i{i}", method, reader, disease)
    for method, diseases in (("original", TRUTH), ("blur", BLUR))
    for i, disease in enumerate(diseases)
    for reader in ("11", "12", "13")
]


def write_csv(path, answers=ANSWERS, header="image_id,method,reader,diagnosis"):
    path.write_text("\n".join([header, *(",".join(row) for row in answers)]) + "\n")
    return path


def write_export(path):
    tasks = {}
    for image_id, method, reader, disease in ANSWERS:
        task = tasks.setdefault(
            (image_id, method), {"data": {"image_id": image_id, "method": method}, "annotations": []}
        )
        answer = {"from_name": "disease", "value": {"choices": [disease]}}
        who = int(reader) if reader != "12" else {"id": 12}
        older = {"completed_by": who, "updated_at": "2026-01-01", "result": [answer | {"value": {"choices": ["bcc"]}}]}
        newer = {"completed_by": who, "updated_at": "2026-01-02", "result": [answer]}
        skipped = newer | {"was_cancelled": True, "updated_at": "2026-01-03"}
        task["annotations"] += [newer, older, skipped]
    path.write_text(json.dumps(list(tasks.values())))
    return path


def run(files, tmp_path) -> dict:
    evaluate_clinical.run(files, tmp_path / "clinical.json", SECTION, "a test")
    return json.loads((tmp_path / "clinical.json").read_text())


def test_both_ways_in_give_the_kappas_of_scikit_learn(tmp_path):
    found = run([write_csv(tmp_path / "a.csv")], tmp_path)
    assert found == run([write_export(tmp_path / "b.json")], tmp_path)
    (row,) = found["rows"]
    for disease in SECTION.diseases:
        expected = cohen_kappa_score([t == disease for t in TRUTH], [b == disease for b in BLUR])
        assert row[disease]["value"] == pytest.approx(expected, abs=1e-6)
    assert (row["n"], row["method"], found["data"]) == (8, "blur", "a test")


@pytest.mark.parametrize(
    ("answers", "header", "message"),
    [
        (ANSWERS, "image_id,method,reader,disease", "lacks the columns diagnosis"),
        ([("i0", "blur", "", "bcc")], "image_id,method,reader,diagnosis", "line 2: reader is empty"),
        ([("i0", "blur", "11", "flu")], "image_id,method,reader,diagnosis", "flu not in evaluate_clinical.diseases"),
        (ANSWERS[:2], "image_id,method,reader,diagnosis", "num_readers: no image has 3 diagnoses"),
        (ANSWERS[24:], "image_id,method,reader,diagnosis", "none of the method 'original'"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path, answers, header, message):
    with pytest.raises(ValueError, match=message):
        run([write_csv(tmp_path / "a.csv", answers, header)], tmp_path)


def test_another_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('[{"data": {"image_id": "i0"}, "annotations": []}, {"annotations": [{}]}]')
    with pytest.raises(ValueError, match="no export of Label Studio whose tasks carry image_id and method"):
        run([tmp_path / "x.json"], tmp_path)
