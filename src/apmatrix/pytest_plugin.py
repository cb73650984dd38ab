"""The pytest plugin: an emulated machine for each test (docs/testing.md).

It is loaded by every pytest of an environment with apmatrix, so it imports the emulator only for tests that use it.
"""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from apmatrix import Machine

FIXTURE = "apmatrix_machine"
FILE = "apmatrix.toml"
_MARKER = (
    "apmatrix(file=None, *, text=None, adapters=(), lpars=(), **options): the machine of apmatrix_machine: "
    "a TOML file beside the test, the text of one, or AdapterConfig and LparConfig objects; options are those of "
    "apmatrix.Machine"
)
_machine = pytest.StashKey["Machine"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--apmatrix-require-run`` and ``apmatrix_file``."""
    group = parser.getgroup("apmatrix")
    group.addoption(
        "--apmatrix-require-run",
        action="store_true",
        help="fail, rather than skip, tests that run programs on their machine where the computer does not allow it",
    )
    parser.addini("apmatrix_file", f"machine of tests without an apmatrix marker and without {FILE} beside them")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker ``apmatrix``."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def apmatrix_machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of the test's own, a running ``apmatrix.Machine``: the one that the marker ``apmatrix`` describes.

    Without such a marker it is that of ``apmatrix.toml`` in the test's directory or above, or of the ini value
    ``apmatrix_file``. It ends with the test.
    """
    with _bring_up(request) as machine:
        request.node.stash[_machine] = machine
        yield machine


def _bring_up(request: pytest.FixtureRequest) -> Machine:
    from apmatrix import Machine  # noqa: PLC0415 - slow, and few tests use it

    marker = request.node.get_closest_marker("apmatrix")
    arguments, options = (marker.args, dict(marker.kwargs)) if marker else ((), {})
    _require_known(options)
    text, file = options.pop("text", None), options.pop("file", None)
    if len(arguments) > 1 or (arguments and file is not None):
        pytest.fail("the marker apmatrix takes one file", pytrace=False)
    file = arguments[0] if arguments else file
    from_code = "adapters" in options or "lpars" in options
    if sum((text is not None, file is not None, from_code)) > 1:
        pytest.fail("the marker apmatrix takes a file, or text=, or adapters= and lpars=", pytrace=False)
    if from_code:
        return Machine(**options)
    if text is not None:
        return Machine.from_text(text, name=request.node.nodeid, **options)
    return Machine.from_file(request.path.parent / file if file is not None else _default_file(request), **options)


def _require_known(options: Iterable[str]) -> None:
    """Fail the test if its marker has an option that there is not; the nearest one is named."""
    from apmatrix import Machine  # noqa: PLC0415 - slow, and few tests use it

    known = sorted({"file", "text", *inspect.signature(Machine).parameters})
    for option in sorted(set(options) - set(known)):
        near = difflib.get_close_matches(option, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        pytest.fail(f"the marker apmatrix has no option {option}: {hint}", pytrace=False)


def _default_file(request: pytest.FixtureRequest) -> Path:
    """The nearest ``apmatrix.toml``, else the one that the ini file names."""
    root = request.config.rootpath
    for directory in (request.path.parent, *request.path.parent.parents):
        if (directory / FILE).is_file():
            return directory / FILE
        if directory == root:
            break
    inipath = request.config.inipath
    if named := str(request.config.getini("apmatrix_file")):
        return (inipath.parent if inipath else root) / named
    pytest.fail(
        f"{FIXTURE} needs a machine: mark the test with @pytest.mark.apmatrix(...), put {FILE} beside it, or set "
        "apmatrix_file in the ini file",
        pytrace=False,
    )


def _skipping(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip a test that cannot run its program here, or fail it if the option says so."""
    if FIXTURE not in getattr(item, "fixturenames", ()):
        return (yield)
    from apmatrix import CannotRun  # noqa: PLC0415 - slow, and few tests use it

    try:
        return (yield)
    except CannotRun as error:
        if item.config.getoption("--apmatrix-require-run"):
            raise
        pytest.skip(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip the test if a fixture cannot run its program here."""
    return (yield from _skipping(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Skip the test if it cannot run its program here."""
    return (yield from _skipping(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the kernel logs of the machine to the report of a failure."""
    report = yield
    machine = item.stash.get(_machine, None)
    if report.failed and machine is not None and report.when != "teardown":
        report.sections += _sections(machine)
    return report


def _sections(machine: Machine) -> Iterator[tuple[str, str]]:
    if machine.refusals:
        yield "apmatrix: refused when the machine was brought up", "\n".join(map(str, machine.refusals))
    for system in machine.systems:
        if system.running and system.log:
            yield f"apmatrix: kernel log of {system.name}", "\n".join(map(str, system.log))
