"""Processes that see secrets leave no core dump, and no other program of their user can read their memory."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support.processes import core_limits

WATCHED = """
    import ctypes, resource, sys
    from apmatrix.cli.main import main

    class Typing:
        buffer = property(lambda self: self)

        def isatty(self):
            return False

        def readline(self, *_):
            dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
            print(*resource.getrlimit(resource.RLIMIT_CORE), dumpable, flush=True)
            sys.exit(0)

    sys.stdin = Typing()
    main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    "words",
    [
        ("key", "load", "aes", "-", "-", "--domain", "4"),
        ("key", "protect", "--machine", "keys", "--ask-passphrase", "--default-key"),
        ("up", "--ask-passphrase"),
    ],
    ids=["key load", "key protect", "up"],
)
def test_a_command_forbids_them_before_a_secret_is_typed(site, words):
    site.up()
    if words[0] == "key" and words[1] == "protect":
        site.run("down", "keys")
    more = (str(site.file),) if words == ("up", "--ask-passphrase") else ()
    words = [sys.executable, "-c", textwrap.dedent(WATCHED), *words, *more]
    done = subprocess.run(words, env=site.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1", "1", "0"], done.stderr


def test_the_machine_of_up(site):
    site.up()
    assert core_limits(site.process) == ["1", "1"]


def test_machines_in_a_commands_own_process(tmp_path, monkeypatch):
    """As demo, show, explain and boot bring it up."""
    script = """
        import ctypes, resource
        from apmatrix.cli.machine import brought_up
        from apmatrix.config import parse
        from support.running import KEYS

        with brought_up(parse(KEYS, "keys.toml")):
            print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    words = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["1", "1", "0"], done.stderr
