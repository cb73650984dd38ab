"""Adapter and domain numbers on the command line, in the spellings of the file (docs/cli.md).

A number that may be meant otherwise than it is read is taken as it is read, with a warning.
"""

from __future__ import annotations

from typing import Literal

import click

from apmatrix.arch import Mask
from apmatrix.cli.sentences import say


class _Spelled(click.ParamType):  # type: ignore[type-arg]
    """What adapters or domains are written as."""

    def __init__(self, what: Literal["adapter", "domain"]) -> None:
        self.name = what

    def _read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Mask:
        from apmatrix.rules.readings import octal_doubts  # noqa: PLC0415 - scripts call commands in loops

        try:
            found = Mask.parse_ids(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        for doubt in octal_doubts(text, self.name):
            say(f"warning: {doubt}")
        return found


class NumberList(_Spelled):
    """A list such as ``4,0xab,1-3``, as a mask; with ``some``, at least one number."""

    def __init__(self, what: Literal["adapter", "domain"], *, some: bool = True) -> None:
        super().__init__(what)
        self._some = some

    def convert(self, value: str | Mask, param: click.Parameter | None, ctx: click.Context | None) -> Mask:
        """The numbers; a usage error if they are not numbers, or if there are none."""
        found = self._read(value, param, ctx) if isinstance(value, str) else value
        if self._some and not found:
            self.fail("it names no number", param, ctx)
        return found


class SingleNumber(_Spelled):
    """One number."""

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a usage error if it is not one, or more than one."""
        if not isinstance(value, str):
            return value
        found = tuple(self._read(value, param, ctx))
        if len(found) != 1:
            self.fail(f"one {self.name} only" if found else "it names no number", param, ctx)
        return found[0]
