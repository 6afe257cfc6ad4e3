"""The sections of a report, one file each: `build` fills a section with what a run says."""
