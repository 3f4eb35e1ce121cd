"""Whose answers the pipeline takes, simulated readers' or Label Studio's, and what an operator must know of it."""

from pathlib import Path

LABEL_STUDIO = "data/label_studio"
ACCOUNTS = "accounts.json"


def warnings(annotations: str, root: Path = Path(".label_studio"), out: Path = Path(LABEL_STUDIO)) -> list[str]:
    """Return what an operator must know of `inputs.annotations`, in sentences; nothing where all is as it should be."""
    pulled = len(list(out.glob("export-*.json")))
    if annotations == LABEL_STUDIO:
        if pulled:
            return []
        return [
            f"inputs.annotations is {LABEL_STUDIO}, and nothing was pulled yet: "
            "mema annotate push, "
            "then pull when the readers have begun"
        ]
    lines = [
        f"simulated readers stand in ({annotations}); Label Studio is not asked: set inputs.annotations: "
        f"{LABEL_STUDIO} in params.yaml"
    ]
    there = [f"answers of {pulled} readers were pulled"] if pulled else []
    there += ["readers have accounts"] if (root / ACCOUNTS).exists() else []
    if there:
        lines.append(f"{' and '.join(there)}, but what they say goes nowhere while inputs.annotations is {annotations}")
    return lines
