"""A machine in the background, in the test's own process; and commands as users type them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from click.testing import CliRunner

from apmatrix.cli.main import main
from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service.server import MachineServer
from apmatrix.service.state import StateDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

    from apmatrix.linux import LinuxSystem

KEYS = """
[machine]
name = "keys"
[[adapter]]
id = 5
type = "CEX8C"
[[adapter]]
id = 6
type = "CEX8P"
[[adapter]]
id = 7
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "5-7"
usage_domains = "4-7"
control_domains = "4-7,0x40"
  [lpar.host]
  aqmask = "-6,-7"
  [[lpar.guest]]
  name = "guest1"
  adapters = "5,6"
  domains = "6"
  control_domains = "6,0x40"
  [[lpar.guest]]
  name = "guest2"
  adapters = "5,6"
  domains = "7"
"""
"""An LPAR that controls 0x40 without using it, a guest that does too, and a guest without control domains."""


@contextmanager
def running(text: str = KEYS) -> Iterator[Emulation]:
    """Serve a machine; the test must have set APMATRIX_STATE. Gives its Emulation."""
    file = parse(text, "machine.toml")
    assert file.machine.name is not None
    with ExitStack() as stack:
        state = StateDirectory.of(file.machine.name)
        stack.enter_context(state.locked())
        emulation = stack.enter_context(Emulation.start(file))
        server = MachineServer(emulation, state)
        stack.callback(server.close)
        server.listen_at(state.socket)
        yield emulation


def command(*words: object, code: int = 0, stdin: str | bytes | None = None) -> Result:
    """Run ``apmatrix WORDS``; the result, whose exit code must be ``code``."""
    result = CliRunner().invoke(main, [str(word) for word in words], prog_name="apmatrix", input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert result.exit_code == code, result.output
    return result


def await_boot(linux: LinuxSystem) -> None:
    """Wait for the request of the booting kernel itself: it reads random numbers once."""
    with linux.kernel:
        assert linux.kernel.wait_until(lambda: not linux.hwrng.present or linux.hwrng.prefetched > 0, 60)
