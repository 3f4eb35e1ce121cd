"""The vocabulary of conditions: diseases, severities, and the prompts that name them (paper, Steps 1 and 2)."""

DISEASE_NAMES = {
    "normal": "normal",
    "bcc": "basal cell carcinoma",
    "conjunctivitis": "conjunctivitis",
    "uveitis": "uveitis",
    "ptosis": "ptosis",
    "scc": "squamous cell carcinoma",
    "strabismus": "strabismus",
    "tao": "thyroid associated ophthalmopathy",
}
DISEASES = tuple(DISEASE_NAMES)
SEVERITIES = ("slight", "mid", "heavy")
GENDERS = ("female", "male")


def prompt(disease: str, severity: str = "") -> str:
    """Return 'A face, eye with {disease name}[, {severity}-level]' (paper, Steps 1 and 2).

    `severity` is empty for the caption of a patient's photo, whose severity no record states, and for `normal`.
    """
    if disease not in DISEASE_NAMES:
        raise ValueError(f"disease: {disease!r} is not one of {', '.join(DISEASES)}")
    if severity and (severity not in SEVERITIES or disease == "normal"):
        raise ValueError(f"severity: {severity!r} for {disease!r}; allowed: {', '.join(SEVERITIES)} (none for normal)")
    text = f"A face, eye with {DISEASE_NAMES[disease]}"
    return f"{text}, {severity}-level" if severity else text


def all_prompts() -> tuple[str, ...]:
    """Return the empty prompt, then every caption and every severity prompt, in a fixed order."""
    captions = [prompt(disease) for disease in DISEASES]
    graded = [prompt(disease, severity) for disease in DISEASES if disease != "normal" for severity in SEVERITIES]
    return ("", *captions, *graded)
