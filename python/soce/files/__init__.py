"""Files and words, written once for every room: whole files, strict documents, exact numbers, wording."""
