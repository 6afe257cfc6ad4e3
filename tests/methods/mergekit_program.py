"""Run mergekit's own command on many files, in one process that can import it.

Pairs of a file and where its model goes are read from stdin, as JSON; printed is what went wrong, by file.
"""

import json
import sys

OPTIONS = ["--no-copy-tokenizer", "--no-write-model-card", "--quiet"]


def run() -> None:
    from mergekit.scripts.run_yaml import main

    failures = {}
    for file, output in json.load(sys.stdin):
        try:
            main([file, output, *OPTIONS], standalone_mode=False)
        except Exception as error:  # the next file has nothing to do with it
            failures[file] = f"{type(error).__name__}: {error}"
    print(json.dumps(failures))


if __name__ == "__main__":
    run()
