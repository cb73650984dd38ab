"""How every command ends: an error becomes one sentence on stderr, and every end an exit code.

With ``--json`` an error is a document on stdout, too. That holds for what click does itself, such as printing help,
as well as for the commands.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from apmatrix.arch import ApmatrixError
from apmatrix.cli.documents import asks_for_json, error_facts, needs_document, print_error
from apmatrix.cli.folding import fold
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed import ReadableBuffer

    from apmatrix.rules.findings import Finding

_AS_JSON: Final = "apmatrix.as_json"


class CommandGroup(click.Group):
    """A command group that says which of its commands an unknown one may mean."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with; raises UsageError if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near or self.get_command(ctx, args[0]) is not None:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None


class SentenceGroup(CommandGroup):
    """A command group in which every error becomes a sentence on stderr and an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program, with all three standard streams there, as libraries expect."""
        _prepare_standard_streams()
        return super().main(*args, **extra)

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        """Read the command line, and print help and version."""
        as_json = asks_for_json(self, args)
        with _sentences(lambda: as_json):
            context = super().make_context(info_name, args, *more, **extra)
            context.meta[_AS_JSON] = as_json
            return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _sentences(lambda: ctx.meta[_AS_JSON] and needs_document(ctx)):
            return super().invoke(ctx)


def exit_code(error: ApmatrixError) -> ExitCode:
    """The exit code that fits an error: UNREADABLE for input that cannot be understood, REFUSED for the others."""
    if isinstance(error, ControlError):
        return error.code
    from apmatrix.config import ConfigError, NotInFile, Severity  # noqa: PLC0415 - slow
    from apmatrix.rules.reference import UnknownRule  # noqa: PLC0415 - slow

    if isinstance(error, ConfigError) and any(found.severity is Severity.ERROR for found in error.findings):
        return ExitCode.UNREADABLE
    return ExitCode.UNREADABLE if isinstance(error, NotInFile | UnknownRule) else ExitCode.REFUSED


def say(sentence: str) -> None:
    """Print a sentence on stderr, folded on a terminal."""
    lines = f"apmatrix: {sentence}".split("\n")
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        lines = [part for line in lines for part in fold(line, width or 80, indent=2)]
    click.echo("\n".join(lines), err=True)


@contextmanager
def _sentences(as_json: Callable[[], bool]) -> Iterator[None]:
    """Turn every way in which the program can end into a sentence and SystemExit.

    ``as_json`` says whether a document about an error is to be printed, too.
    """

    def end(
        code: int, sentence: str | None = None, findings: Iterable[Finding] = (), *, say: bool = True
    ) -> NoReturn:
        document = error_facts(sentence, code, findings) if sentence is not None and as_json() else None
        _end(code, sentence if say else None, document)

    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        end(ExitCode.INTERRUPTED)
    except click.Abort as abort:  # at a prompt: Ctrl-C, or the end of the input
        if isinstance(abort.__context__, EOFError):
            end(ExitCode.UNREADABLE, "the input ended before what was asked for: nothing was done")
        end(ExitCode.INTERRUPTED)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        end(error.exit_code, error.format_message(), say=False)
    except ApmatrixError as error:
        end(exit_code(error), str(error), findings_of(error))
    except BrokenPipeError:
        end(ExitCode.BROKEN_PIPE)
    except OSError as error:  # that no command expects
        place = f"{error.filename}: " if error.filename else ""
        end(ExitCode.REFUSED, f"{place}{error.strerror or error}")


def findings_of(error: ApmatrixError) -> tuple[Finding, ...]:
    """The parts of what was found or refused, of an error that has them."""
    if isinstance(error, ControlError):
        return error.findings
    from apmatrix.config import ConfigError  # noqa: PLC0415 - slow

    return error.findings if isinstance(error, ConfigError) else ()


def _end(code: int, sentence: str | None, document: Mapping[str, Any] | None) -> NoReturn:
    """Say why, and end, whatever has become of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is sys.stdout and document is not None:
                print_error(document)
            if stream is sys.stderr and sentence is not None:
                say(sentence)
            stream.flush()
        except OSError:  # the interpreter would try again to write what is left
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _prepare_standard_streams() -> None:
    """Let no file that is opened later be taken for a standard stream that was closed, and name stdout in errors.

    Reading a closed one finds the end, writing fails.
    """
    for number, name, mode in ((0, "stdin", "r"), (2, "stderr", "w"), (1, "stdout", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            if null != number:
                os.dup2(null, number, inheritable=False)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    with suppress(OSError):  # of a stream without a descriptor
        if sys.stdout.fileno() == 1:
            out, raw = sys.stdout, _StandardOutput(1, "w", closefd=False)
            buffer = io.BufferedWriter(raw)
            sys.stdout = io.TextIOWrapper(
                buffer, encoding=out.encoding, errors=out.errors, line_buffering=out.isatty()
            )


class _StandardOutput(io.FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write to it."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            raise
