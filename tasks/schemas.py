"""Columns of every table between stages, as code."""

import pyarrow as pa

# What `datasets` gives as pictures and as labels; stages read them as bytes and names (mema/runtime/shards.py).
PICTURES, LABELS = ("image", "mask"), ("disease", "planned_disease")
MEANING = b"meaning"  # of a released column, in its field's metadata

FACE = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.binary()),
        ("file", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("age", pa.float32()),
        ("gender", pa.string()),
        ("split", pa.string()),
    ]
)

PATIENT_FACE = pa.schema(
    [*FACE, ("patient_id", pa.string()), ("visit_date", pa.string()), ("eye", pa.string()), ("disease", pa.string())]
)

PUBLIC_FACE = FACE

QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),  # the record's number from 1, null for a file without one
        ("line", pa.int64()),  # its physical line in the table, likewise
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

PLAN = pa.schema(
    [
        ("plan_row", pa.int64()),
        ("arm", pa.string()),
        ("disease", pa.string()),
        ("severity", pa.string()),
        ("age_bin", pa.string()),
        ("gender", pa.string()),
        ("donor_id", pa.string()),
        ("injection_weight", pa.float32()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),
        ("source_row", pa.int64()),  # the injected row that a direct or strip row copies, else its own
    ]
)

SAMPLE = pa.schema(
    [
        *PLAN,
        ("image_id", pa.string()),
        ("image", pa.binary()),
        ("generator_sha256", pa.string()),
        ("lora_sha256", pa.string()),
    ]
)


def screened(recognisers: list[str]) -> pa.Schema:
    """Return SAMPLE with the reason of a rejection ("" when kept) and one similarity per recogniser."""
    similarities = [(f"similarity_{name}", pa.float32()) for name in recognisers]
    return pa.schema([*SAMPLE, ("reason", pa.string()), *similarities])


selected = screened

# SAM's view of an image, so that a click costs only the decoder.
EMBEDDING = pa.schema(
    [
        ("image_id", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("shape", pa.list_(pa.int32())),  # channels, height and width of the embedding
        ("embedding", pa.binary()),  # fp16, little-endian, in C order
    ]
)

SUBSET = pa.schema(
    [
        ("image_id", pa.string()),
        ("outline", pa.bool_()),  # whether a tumour, if seen, is to be outlined; drawn blind to the disease
        ("first_mask", pa.binary()),  # grey PNG, or null where none could be proposed
    ]
)

UNUSABLE = pa.schema([(name, pa.string()) for name in ("reader", "key", "image_id", "reason", "detail")])


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    """Return a column of a released table, which carries its meaning with it."""
    return pa.field(name, kind, metadata={MEANING: meaning})


def meaning(field: pa.Field) -> str:
    """Return what a released column means, units and values included."""
    return (field.metadata or {})[MEANING].decode()


_SEVERITY = "slight, mid or heavy; empty for normal"
_BALLOT = pa.struct(
    [
        _column("reader", pa.string(), "alias: reader_1, reader_2 ... or senior, who decides where others do not"),
        _column("disease", pa.string(), "name of the disease; empty where the image was rejected without one"),
        _column("severity", pa.string(), _SEVERITY),
        _column("quality", pa.string(), "usable or low; low is a rejection"),
        _column("confidence", pa.string(), "how sure the reader was: low, medium or high; empty if unsaid"),
    ]
)

# What leaves: no row of the plan, no injection weight and no donor by the digest of a face that anybody can compute.
MEMA = pa.schema(
    [
        _column("image_id", pa.string(), "sha256 of height, width and RGB pixels, 64 hex digits; orders the rows"),
        _column("image", pa.binary(), "the face, PNG, RGB, 8 bits; eyes level and centred"),
        _column("disease", pa.string(), "the label: the disease that the readers named, adjudicated"),
        _column("severity", pa.string(), f"as the readers named it: {_SEVERITY}"),
        _column("quality", pa.string(), "usable: images that the readers rejected are left out"),
        _column("decided_by", pa.string(), "who decided the disease: unanimous, majority (more than half) or senior"),
        _column("votes", pa.list_(_BALLOT), "what each reader said of the image"),
        _column(
            "mask", pa.binary(), "the readers' consensus on a tumour's outline: PNG, grey, 8 bits, 0 outside and 255 "
            "inside, size of the image; null without a consensus",
        ),
        _column(
            "mask_provenance", pa.string(), "machine_accepted, machine_edited or by_hand, the least touched of the "
            "outlines; empty without a mask",
        ),
        _column("num_masks", pa.int32(), "number of readers whose outlines the mask is made of"),
        _column("split", pa.string(), "train, select (to choose a model by) or val (to report on)"),
        _column("planned_disease", pa.string(), "what the generator was asked for: the readers' label may differ"),
        _column("planned_severity", pa.string(), f"what the generator was asked for: {_SEVERITY}"),
        _column(
            "planned_age_bin", pa.string(), "age that a donor was chosen for, in years: 20-40 is from 20 to under 40; "
            "nobody's true age",
        ),
        _column("planned_gender", pa.string(), "female or male, that a donor was chosen for; nobody's true gender"),
        _column(
            "donor_pseudonym", pa.string(), "32 hex digits: images with the same value took features from the same "
            "public face; to group by, and good for this release alone",
        ),
    ]
)  # fmt: skip

MEMA_SEG = pa.schema(
    [
        MEMA.field(name)
        for name in (
            "image_id", "image", "mask", "mask_provenance", "num_masks", "disease", "severity", "split",
            "planned_disease", "donor_pseudonym",
        )
    ]
)  # fmt: skip
