"""The sections of a report, one file each: `build` takes the material and returns a section."""
