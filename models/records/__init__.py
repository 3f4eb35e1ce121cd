"""A hospital's record table: read in any dialect, put into our vocabulary, judged person by person."""
