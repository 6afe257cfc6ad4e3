"""The sections of a report, one file each: a function `build` that takes the material and returns a section."""
