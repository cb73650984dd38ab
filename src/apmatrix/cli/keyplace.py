"""What all commands about keys share: which domains of which cards, from which system; files with secrets."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click
import msgspec

from apmatrix.arch import Mask
from apmatrix.cli.documents import json_option
from apmatrix.cli.remote import machine_option
from apmatrix.cli.spelling import NumberList, SingleNumber
from apmatrix.rules.keyparts import looks_like_a_key
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.rules.findings import Finding
    from apmatrix.service.protocol.keys import KeyRequest

    Function = Callable[..., None]

R = TypeVar("R", bound="KeyRequest[Any]")

_LONGEST_FILE: Final = 4096


class KeyPlace(NamedTuple):
    """What the commands are given: which domains of which cards, and from where."""

    machine: str | None
    as_json: bool
    adapters: Mask | None
    domains: Mask | None
    system: str | None
    through: int | None = None

    @property
    def required_domains(self) -> Mask:
        """The domains; click makes sure that there are some."""
        assert self.domains is not None
        return self.domains

    def fill(self, request: R) -> R:
        """The request, for the adapters, from the system and through the queue that the options name."""
        return msgspec.structs.replace(request, adapters=self.adapters, system=self.system, through=self.through)


def place_options(
    *, domain_needed: bool = True, one_domain: bool = False, carried: bool = True
) -> Callable[[Function], Function]:
    """Add the options that become a ``place``; with ``one_domain`` it has exactly one domain.

    What is ``carried`` can go through another domain's queue.
    """
    options: list[Callable[[Function], Function]] = [
        json_option,
        machine_option,
        click.option("--from", "system", metavar="NAME", help="The LPAR or guest that sends the commands."),
        _domain_option(needed=domain_needed, one=one_domain),
        click.option(
            "--adapter", "adapters", type=NumberList("adapter"), metavar="LIST", help="Adapters, such as 5 or 5,6."
        ),
    ]
    if carried:
        carrier = click.option(
            "--through", type=SingleNumber("domain"), metavar="DOMAIN", help="Send through this domain's queue."
        )
        options.insert(2, carrier)

    def decorate(function: Function) -> Function:
        @wraps(function)
        def command(**given: Any) -> None:
            place = KeyPlace(**{name: given.pop(name) for name in KeyPlace._fields if name in given})
            function(place=place, **given)

        decorated: Function = command
        for option in options:
            decorated = option(decorated)
        return decorated

    return decorate


def _domain_option(*, needed: bool, one: bool) -> Callable[[Function], Function]:
    if one:
        return click.option(
            "--domain",
            "domains",
            type=SingleNumber("domain"),
            callback=_alone,
            required=True,
            metavar="DOMAIN",
            help="The domain, such as 4.",
        )
    return click.option(
        "--domain",
        "domains",
        type=NumberList("domain"),
        metavar="LIST",
        required=needed,
        help="Domains, such as 4 or 4,0xab.",
    )


def _alone(_ctx: click.Context, _param: click.Parameter, number: int) -> Mask:
    """The mask with one number."""
    return Mask.of(number)


def end_with(refused: Finding | None) -> None:
    """ControlError with what was refused, if anything was."""
    if refused:
        raise ControlError(str(refused), findings=(refused,))


def read_secret_file(name: str, what: str) -> bytes:
    """The content of a file, which no message ever quotes; ControlError if it is longer than any such file is."""
    try:
        with Path(name).open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        if looks_like_a_key(name):
            text = f"a {what} is never given on the command line, where others can see it: give a file, or -"
            raise ControlError(text, ExitCode.UNREADABLE) from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ControlError(f"{name}: the {what} cannot be read: {reason}", ExitCode.UNREADABLE) from None
    if len(content) > _LONGEST_FILE:
        text = f"{name}: there is no {what} in it: it has more than {_LONGEST_FILE} bytes"
        raise ControlError(text, ExitCode.UNREADABLE)
    return content
