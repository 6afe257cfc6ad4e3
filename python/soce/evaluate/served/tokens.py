"""The token of a server: in a file that only its owner may read, never in an argument or a log."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.files.cache import cache_folder

if TYPE_CHECKING:
    from soce.files.atomic import PathText


def usual_token_file() -> Path:
    """Return where a user's servers have their token, if nobody says."""
    return cache_folder() / "serve-token"


def read_token(path: PathText) -> str:
    """Return the token in a file; raises EvaluationError if there is none."""
    hint = "`soce serve` tells the file that it is in"
    place = os.fspath(path)
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        refuse("the token cannot be read", hint, place, cause=error)
    if not token or not token.isascii() or not token.isprintable():  # a request could not carry it
        refuse("there is no token in this file", hint, place)
    return token


def find_token(path: PathText) -> str:
    """Return the token in a file, which is made with a new one if it is not there.

    Raises EvaluationError for a file that others may read, or that cannot be made.
    """
    where = Path(path)
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if where.is_file() and where.stat().st_mode & 0o077:
            hint = f"`chmod 600 {where}`, after you gave it another token"
            refuse("others may read this token", hint, str(where))
        return read_token(where)
    except OSError as error:
        refuse("the token cannot be kept", "name another file for it", str(where), cause=error)
    token = secrets.token_urlsafe(32)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{token}\n")
    return token
