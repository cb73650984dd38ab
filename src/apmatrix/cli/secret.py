"""What encrypts a machine's keys at rest, as the user gives it: a key file, or a passphrase.

The secret is never an argument, and does not stay in the environment of a process that lives on.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from apmatrix.service.dumps import forbid_core_dumps

if TYPE_CHECKING:
    from apmatrix.service.keystore import Secret

_PASSPHRASE_VARIABLE: Final = "APMATRIX_PASSPHRASE"

path_type: Final = click.Path(path_type=Path)
key_file_option: Final = click.option(
    "--key-file",
    type=path_type,
    envvar="APMATRIX_KEY_FILE",
    help="What encrypts the cards' master keys; by default a file that is made beside them.",
)


def given_secret(key_file: Path | None, *, ask: bool, confirm: bool = False) -> Secret:
    """What the options and the environment say. ``confirm`` asks twice, for a new passphrase."""
    from apmatrix.service.keystore import Secret  # noqa: PLC0415 - slow to import

    forbid_core_dumps()
    passphrase = _take_from_environment()
    if key_file is not None and (ask or passphrase is not None):
        raise click.UsageError("give a key file or a passphrase, not both")
    if ask:
        passphrase = ask_passphrase("passphrase", confirm=confirm)
    return Secret(passphrase, key_file)


def ask_passphrase(prompt: str, *, confirm: bool) -> str:
    """A passphrase from the terminal, without echo, or else the next line of standard input."""
    if sys.stdin.isatty():
        return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm))
    return next_line().decode("utf-8", "surrogateescape")


def next_line() -> bytes:
    """The next line of standard input, without its end; a secret need not be text."""
    return sys.stdin.buffer.readline().rstrip(b"\n")


def _take_from_environment() -> str | None:
    """The passphrase in the environment, which is overwritten: /proc shows the bytes that the process began with."""
    passphrase = os.environ.get(_PASSPHRASE_VARIABLE)
    if passphrase is not None:
        find = ctypes.CDLL(None).getenv
        find.restype = ctypes.c_void_p
        if place := find(_PASSPHRASE_VARIABLE.encode()):
            ctypes.memset(place, 0, len(ctypes.string_at(place)))
        del os.environ[_PASSPHRASE_VARIABLE]
    return passphrase
