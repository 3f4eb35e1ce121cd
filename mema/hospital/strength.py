"""How many guesses a passphrase takes; words that people near a clinic would try first are told to the estimate."""

import unicodedata

from zxcvbn import zxcvbn

MIN_LOG10_GUESSES = 10  # a hundred core-years of Argon2id at its usual cost
MAX_ESTIMATED = 72  # characters that the estimate takes
SHORTEST_WORD = 3
WORDS = (
    "mema", "deid", "patient", "patienten", "hospital", "clinic", "klinik", "klinikum", "krankenhaus",
    "universität", "uniklinik", "universitätsklinikum", "dermatologie", "dermatology", "augenklinik", "hautklinik",
    "ophthalmology", "doctor", "doktor", "arzt", "photo", "photos", "foto", "fotos", "passwort", "kennwort",
    "geheim", "schlüssel", "secret", "sommer", "winter", "frühling", "herbst", "hôpital", "médecin",
    "motdepasse", "bonjour", "willkommen", "hallo",
)  # fmt: skip
FAMOUS = ("correcthorsebatterystaple", "tobeornottobethatisthequestion", "diewürdedesmenschenistunantastbar")


def log10_guesses(text: str) -> float:
    """Return the estimate for the best 72 characters in a row, 0 for a famous phrase; s p a c e d words are words."""
    text = unicodedata.normalize("NFC", text)
    if "".join(filter(str.isalpha, text.lower())) in FAMOUS:
        return 0.0
    readings = [text]
    if max(map(len, text.split()), default=0) < SHORTEST_WORD:
        readings.append("".join(text.split()))
    return min(max(map(_estimate, _parts(reading)), default=0.0) for reading in readings)


def refuse_weak(text: str) -> None:
    """Raise ValueError with the remedy where a passphrase would soon be guessed; it is never shown."""
    if not text.strip():
        raise ValueError(f"passphrase: blanks only; {REMEDY}")
    if (found := log10_guesses(text)) < MIN_LOG10_GUESSES:
        raise ValueError(
            f"passphrase: some 10^{found:.0f} guesses find it, at least 10^{MIN_LOG10_GUESSES} are needed; {REMEDY}"
        )


REMEDY = "take six random words, or a file that `mema key new` makes"


def _parts(text: str) -> list[str]:
    return [text[start : start + MAX_ESTIMATED] for start in range(0, len(text), MAX_ESTIMATED)]


def _estimate(text: str) -> float:
    return float(zxcvbn(text, user_inputs=WORDS)["guesses_log10"])
