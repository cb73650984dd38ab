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
from apmatrix.cli.folding import fold, printable, terminal_width
from apmatrix.cli.streams import prepare_standard_streams
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from apmatrix.rules.findings import Finding

_WHOLE_SENTENCE: Final = 1000
_AS_JSON: Final = "apmatrix.as_json"


class CommandGroup(click.Group):
    """A command group that says what each of its commands does, and which of them an unknown one may mean."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the whole first sentence of their help, which click would cut at one line."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command.get_short_help_str(_WHOLE_SENTENCE)) for name, command in commands if command]
            )

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
        prepare_standard_streams()
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
    _print_error(f"apmatrix: {sentence}")


def _print_error(text: str) -> None:
    lines = [printable(line) for line in text.split("\n")]
    if width := terminal_width(sys.stderr):
        lines = [part for line in lines for part in fold(line, width, indent=2)]
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
            _print_error(_text_of(error))
        end(error.exit_code, error.format_message(), say=False)
    except ApmatrixError as error:
        end(exit_code(error), str(error), findings_of(error))
    except BrokenPipeError:
        end(ExitCode.BROKEN_PIPE)
    except OSError as error:  # that no command expects
        place = f"{error.filename}: " if error.filename else ""
        end(ExitCode.REFUSED, f"{place}{error.strerror or error}")


def _text_of(error: click.ClickException) -> str:
    """What click prints about it: the usage of the command, and a sentence."""
    shown = io.StringIO()
    error.show(shown)
    return shown.getvalue().rstrip("\n")


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
