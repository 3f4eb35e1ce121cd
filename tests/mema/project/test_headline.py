from mema.project import headline

SIGNS = {"value": 0.784, "n": 8, "ci95": [0.65, 0.908]}


def test_methods_show_signs_with_their_interval_and_each_distance() -> None:
    medical = {"rows": [{"method": "original", "all": SIGNS}, {"method": "mine", "all": SIGNS}]}
    distances = {"b": {"value": 1.2054, "n": 42, "ci95": [1.1, 1.3]}, "a": {"value": None, "n": 0}}
    identity = {"rows": [{"method": "mine", "id_dis": distances}]}
    assert headline.distance_columns(identity) == ["a", "b"]
    assert list(headline.method_rows(medical, identity)) == [
        ("original", "78.4 % [65.0, 90.8]", "-", "-"),
        ("mine", "78.4 % [65.0, 90.8]", "-", "1.205"),
    ]
