"""The options that several commands share, each group made into the value that the library takes."""
