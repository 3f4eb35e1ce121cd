"""On which data the benchmark's figures were measured, as every table and plot says it."""

PAPER = "From the paper: its own MeMa, generated photographs; another set of images, other networks"
PAPER_CLINIC = "From the paper: photographs of 129 patients of a hospital; other people, other readers"
LABELS = {
    "phantom": "Measured on phantoms: drawn faces",
    "photos": "Measured on drawn faces, by a generator that was trained on photographs wearing simulated signs",
    "paper": "Measured on this hospital's MeMa: generated photographs",
}
SHORT = {
    "phantom": "phantoms (drawn faces)",
    "photos": "drawn faces (the generator saw photographs)",
    "paper": "this hospital's MeMa (generated photographs)",
}
WORTH = {
    "phantom": "Nobody here exists, and every network is small. The figures show whether method and code work. "
    "They are not the paper's, and standing beside them says nothing about which is better.",
    "photos": "The generator draws phantoms even after it saw photographs. The figures are not the paper's, and "
    "standing beside them says nothing about which is better.",
    "paper": "These images, these networks: the paper's figures come from other images, so that a difference of "
    "a few points is none.",
}


def here(profile: str) -> str:
    """Return the line above figures measured here."""
    return f"Measured here, on {SHORT[profile]}"


def inside(sentence: str) -> str:
    """Return a sentence as it goes on inside another: its first letter small."""
    return sentence[0].lower() + sentence[1:]
