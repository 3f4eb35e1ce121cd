"""Which of the figures asked for are met, in plain words: computed from the metrics, never claimed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.report.benchmark.measured import (
    BLUR,
    OWN,
    BenchmarkMeasured,
    Estimate,
    Row,
    by_method,
    interval_of,
    nested,
    recogniser_name,
    recovered_rows,
    value_of,
)
from models.report.words import percent

POINTS_ABOVE_BLUR = 20
LEAST_DISTANCE = 1.2
LEAST_PSNR_DB, LEAST_GAP_DB = 22, 6
STEPS = (("M2", "M3"), ("M2", "M4"), ("M3", "full"), ("M4", "full"))  # Table 9: Med-Class must rise
MET, CLOSE, MISSED, UNKNOWN = "met", "met, but its interval reaches below", "not met", "not measured"


@dataclass(frozen=True)
class Line:
    """One figure asked for: what is asked, what was measured, and how the two stand."""

    asked: str
    measured: str
    state: str

    @property
    def met(self) -> bool:
        """Whether the measured values are as asked for, however wide their intervals."""
        return self.state in (MET, CLOSE)


def lines(measured: BenchmarkMeasured) -> list[Line]:
    """Return every figure asked for, judged."""
    medical, identity = (by_method(found["rows"]) for found in (measured.medical, measured.identity))
    recovery = recovered_rows(measured.reversibility["rows"])
    right, wrong = recovery.get((OWN, "recovered"), {}), recovery.get((OWN, "wrong"), {})
    return [
        signs_kept(medical.get(OWN, {}).get("all"), medical.get(BLUR, {}).get("all")),
        no_nearer(identity.get(OWN), identity.get(BLUR)),
        far_enough(identity.get(OWN)),
        recovered(right.get("psnr")),
        closed_to_others(right.get("psnr"), wrong.get("psnr")),
        rising({row["model"]: row.get("med_class") for row in measured.ablation["rows"]}),
    ]


def signs_kept(own: Estimate | None, blur: Estimate | None) -> Line:
    """Judge Med-Class (Table 3, "all") against the blur's."""
    asked = f"Med-Class at least {POINTS_ABOVE_BLUR} points above Gaussian blur's"
    first, second = value_of(own), value_of(blur)
    if first is None or second is None:
        return _unknown(asked, "Med-Class", own, blur)
    points = 100 * (first - second)
    said = f"{percent(first)} against {percent(second)}: {_signed(points, 1)} points"
    edges, others = interval_of(own), interval_of(blur)
    sure = edges is not None and others is not None and 100 * (edges[0] - others[1]) >= POINTS_ABOVE_BLUR
    return Line(asked, said, _state(_reaches(points, POINTS_ABOVE_BLUR), sure))


def no_nearer(own: Row | None, blur: Row | None) -> Line:
    """Judge whether faces end no nearer to their originals than blurred ones do, for every recogniser."""
    asked = "ID-Dis at least Gaussian blur's, for every recogniser"
    ours, theirs = nested(own, "id_dis"), nested(blur, "id_dis")
    pairs = {name: (ours[name], theirs.get(name)) for name in ours}
    known = {n: (value_of(a), value_of(b)) for n, (a, b) in pairs.items()}
    if not known or any(a is None or b is None for a, b in known.values()):
        return _unknown(asked, "ID-Dis", *ours.values(), *theirs.values())
    said = ", ".join(f"{a:.2f} against {b:.2f} ({recogniser_name(n)})" for n, (a, b) in known.items())
    met = all(a >= b for a, b in known.values() if a is not None and b is not None)
    edges = [(interval_of(a), interval_of(b)) for a, b in pairs.values()]
    sure = all(a is not None and b is not None and a[0] >= b[1] for a, b in edges)
    return Line(asked, said, _state(met, sure))


def far_enough(own: Row | None) -> Line:
    """Judge ID-Dis by itself, for every recogniser; none of them was used in training."""
    asked = f"ID-Dis at least {LEAST_DISTANCE}, for every recogniser"
    found = nested(own, "id_dis")
    known = {name: value for name, one in found.items() if (value := value_of(one)) is not None}
    if not found or len(known) < len(found):
        return _unknown(asked, "ID-Dis", *found.values())
    said = ", ".join(f"{value:.2f} ({recogniser_name(name)})" for name, value in known.items())
    edges = [interval_of(one) for one in found.values()]
    sure = all(edge is not None and edge[0] >= LEAST_DISTANCE for edge in edges)
    return Line(asked, said, _state(all(value >= LEAST_DISTANCE for value in known.values()), sure))


def recovered(right: Estimate | None) -> Line:
    """Judge how well the right password gives the image back."""
    asked = f"PSNR of the image recovered with the right password at least {LEAST_PSNR_DB} dB"
    value = value_of(right)
    if value is None:
        return _unknown(asked, "PSNR", right)
    edges = interval_of(right)
    sure = edges is not None and edges[0] >= LEAST_PSNR_DB
    return Line(asked, f"{value:.1f} dB", _state(value >= LEAST_PSNR_DB, sure))


def closed_to_others(right: Estimate | None, wrong: Estimate | None) -> Line:
    """Judge how much worse a wrong password does."""
    asked = f"PSNR with a wrong password at least {LEAST_GAP_DB} dB lower"
    first, second = value_of(right), value_of(wrong)
    if first is None or second is None:
        return _unknown(asked, "PSNR", right, wrong)
    said = f"{second:.1f} dB against {first:.1f} dB: {first - second:.1f} dB lower"
    edges, others = interval_of(right), interval_of(wrong)
    sure = edges is not None and others is not None and edges[0] - others[1] >= LEAST_GAP_DB
    return Line(asked, said, _state(_reaches(first - second, LEAST_GAP_DB), sure))


def rising(models: Mapping[str, Estimate | None]) -> Line:
    """Judge whether f_med and L_med each raise Med-Class, and both together most (Table 9)."""
    asked = "Med-Class rises from M2 to M3 and to M4, and from both to the full model"
    names = ("M2", "M3", "M4", "full")
    values = {name: value for name in names if (value := value_of(models.get(name))) is not None}
    if len(values) < len(names):
        absent = [name for name in names if name not in values]
        return _unknown(asked, f"Med-Class of {', '.join(absent)}", *(models.get(name) for name in absent))
    said = ", ".join(f"{name} {percent(value)}" for name, value in values.items())
    edges = {name: interval_of(models[name]) for name in names}
    apart = [(edges[low], edges[high]) for low, high in STEPS]
    sure = all(low is not None and high is not None and low[1] < high[0] for low, high in apart)
    return Line(asked, said, _state(all(values[low] < values[high] for low, high in STEPS), sure))


def headline(found: Sequence[Line], data: str) -> tuple[bool, str]:
    """Return whether every line is met, and the sentences for the top of the page."""
    met = [line for line in found if line.met]
    missed = [line for line in found if line.state == MISSED]
    unknown = [line for line in found if line.state == UNKNOWN]
    sentences = [f"On {data}, {_of(len(met), len(found))} asked for {'is' if len(met) == 1 else 'are'} met."]
    sentences += [f"Not met: {line.asked} ({line.measured})." for line in missed]
    sentences += [f"Not measured: {line.asked} ({line.measured})." for line in unknown]
    close = sum(line.state == CLOSE for line in met)
    if close:
        which = "one has an interval that reaches" if close == 1 else f"{close} have intervals that reach"
        sentences.append(f"Of those met, {which} below what is asked: other images could miss it.")
    return len(met) == len(found), " ".join(sentences)


def _of(number: int, whole: int) -> str:
    if number == whole:
        return f"all {whole} figures"
    return f"{number or 'none'} of the {whole} figures"


def _state(met: bool, sure: bool) -> str:
    return (MET if sure else CLOSE) if met else MISSED


def _reaches(value: float, bound: float) -> bool:
    return round(value, 6) >= bound  # 0.7 - 0.5 is a hair below 0.2


def _unknown(asked: str, what: str, *estimates: Estimate | None) -> Line:
    reasons = dict.fromkeys(one["reason"] for one in estimates if one and one.get("reason"))
    return Line(asked, "; ".join(reasons) or f"{what} is missing", UNKNOWN)


def _signed(number: float, decimals: int) -> str:
    return f"{number:+.{decimals}f}".replace("-", "\u2212")
