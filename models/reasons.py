"""Every reason for which a photo, a row of a table or a file is turned away: what it means, and what to do.

`mema why FILE` reads it out; a reason that is missing here fails where it is given.
"""

ROW, PHOTO, PICTURE, FILES, DEID = "the row", "the photo", "the picture", "the file", "mema deid and restore"

REASONS: dict[str, tuple[str, str]] = {
    # of the table's rows
    "bad_row": (ROW, "has more or fewer cells than headings, or can't be read as one: mend the line that is named"),
    "bad_encoding": (ROW, "holds bytes that are no text in the table's encoding: save the table as UTF-8"),
    "missing_consent": (ROW, "says neither yes nor no to consent: ask, and write it"),
    "consent_refused": (ROW, "refuses or withdraws consent: it stays out"),
    "consent_refused_elsewhere": (ROW, "is of a photo, picture or person that another row refuses or withdraws"),
    "missing_patient_id": (ROW, "names no patient: write the id"),
    "invalid_patient_id": (ROW, "has a placeholder, a date or a rounded number for an id: write the id as text"),
    "ambiguous_patient_id": (ROW, "has an id that is spelt in ways that could be two people: write one throughout"),
    "no_file_named": (ROW, "names no photo: write its path below the source folder"),
    "file_missing": (ROW, "names a photo that is not there: mend the path, or bring the photo"),
    "ambiguous_file_name": (ROW, "has a path that fits two photos: write it as it is on the disk"),
    "path_outside": (ROW, "leads out of the source folder: bring the photo in"),
    "file_named_twice": (ROW, "disagrees with another row on the same photo: mend one of them"),
    "file_error": (FILES, "could not be read or written: the system's own word for it stands beside it"),
    "doubtful_diagnosis": (ROW, "has a diagnosis with doubt, exclusion or history: write it without, or leave it out"),
    "several_diagnoses": (ROW, "has several diagnoses for one photo: one class a photo"),
    "diagnosis_conflict": (ROW, "has a text and a code of different classes: mend one of them"),
    "unknown_disease": (ROW, "has none of the eight classes, by name or ICD-10 code"),
    "conflicting_age": (ROW, "gives a person ages that do not follow the dates of the visits: mend one of them"),
    "conflicting_gender": (ROW, "gives one patient id two sexes: mend one of them"),
    "same_picture_two_patients": (ROW, "is of a picture that another row gives to another patient: whose is it?"),
    "same_picture_two_diagnoses": (ROW, "is of a picture that another row gives another diagnosis: mend one of them"),
    "duplicate_id": (ROW, "has a record id that rows of several patients have: one id a record"),
    # of files and folders
    "photo_without_record": (FILES, "is in no row of the table: add one, or take the photo away"),
    "symbolic_link": (FILES, "is a link, which is never followed: bring the file itself"),
    "not_a_file": (FILES, "is a folder, a device or a pipe"),
    "unreadable_file": (FILES, "cannot be opened: look at its permissions and the disk"),
    "unreadable_folder": (FILES, "cannot be listed, so nobody knows what lies in it: look at its permissions"),
    "file_too_large": (FILES, "is larger than any photo within max_megapixels"),
    "empty_file": (FILES, "has no byte: copy it again"),
    "name_too_long": (FILES, "has a name that is too long for what is written beside it: rename it"),
    "unexpected_error": (FILES, "met an error of ours: tell us which; the run went on"),
    # of pictures
    "not_an_image": (PICTURE, "is no picture, whatever its name says"),
    "unsupported_format": (PICTURE, "is DICOM, raw, PDF, a video or the like: export it as PNG or JPEG"),
    "unsupported_mode": (PICTURE, "has colours that cannot be turned into RGB: export it as PNG or JPEG"),
    "broken_image": (PICTURE, "cannot be decoded: copy or export it again"),
    "damaged": (PICTURE, "lacks bytes or has foreign ones: copy it again"),
    "several_frames": (PICTURE, "has several frames: export one"),
    "transparent_image": (PICTURE, "is transparent where a face may be: export it without"),
    "too_small": (PICTURE, "is smaller than min_size_px"),
    "too_large": (PICTURE, "needs more memory for its pixels than there is"),
    "too_many_pixels": (PICTURE, "is larger than max_megapixels"),
    "bad_aspect": (PICTURE, "is longer than max_aspect times its width: crop it"),
    "blank_image": (PICTURE, "shows nothing"),
    "no_face": (PHOTO, "shows no face that the detector finds: another photo, or another ingest_*.detector"),
    # of what leaves
    "face_left": (DEID, "a face was still found on the result, so nothing was written"),
    "still_recognisable": (DEID, "a recogniser still takes a face for the one before, so nothing was written"),
    "unexpected_faces": (DEID, "another number of faces was found than --expect-faces says"),
    "out_exists": (DEID, "the place to write is taken: another OUT, or take the old one away"),
    "sidecar_there": (DEID, "an earlier run sealed it, and a dry run opens nothing: run without --dry-run"),
    "link_in_out": (DEID, "a link lies in OUT, which is never followed"),
    "wrong_suffix": (DEID, "the original has another ending than ORIGINAL: name it as it is said"),
    "no_original": (DEID, "the side-car holds no original: it was not kept with --keep-original"),
    "picture_changed": (DEID, "the picture is another file than was written: see what is said beside it"),
    "another_picture": (DEID, "the side-car is of another picture"),
    "turned_face": (DEID, "the eyes of a turned face can't be placed: turn the photo, or deid_files.doubtful_faces"),
    "doubtful_face": (DEID, "the eyes of a face can't be placed: crop the photo, or set deid_files.doubtful_faces"),
    "model_of_drawn_faces": (DEID, "the model knows its own data set alone: one of photographs, by --model"),
    "other_model": (DEID, "the picture was made by another model: --model names it"),
    "other_log": (DEID, "the side-car is bound to another audit log: deid_files.audit_log, or a backup of it"),
    "no_sidecar": (DEID, "a picture without its side-car: nothing brings the photo back; find the side-car"),
    "sidecar_without_picture": (DEID, "the picture of this side-car is gone: put it back, or de-identify again"),
    "sidecar_refused": (DEID, "the side-car does not open: another passphrase, or it was changed"),
}


def known(reason: str) -> str:
    """Return a reason that is in REASONS; a new one is written there first."""
    assert reason in REASONS, f"{reason}: not in models/reasons.py; say there what it means"
    return reason


def read_out(reason: str) -> str:
    """Return what a reason means, in a sentence."""
    of, meaning = REASONS[reason]
    return f"{of}: {meaning}" if of == DEID else f"{of} {meaning}"
