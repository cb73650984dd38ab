"""A project with one test, somewhere else, that has apmatrix from its wheel."""

import os
import subprocess
import venv

import pytest

from support.wheel import build

TEST = '''
import errno
from pathlib import Path

import apmatrix
import pytest

MACHINE = """
[[adapter]]
id = 5
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4,5"
  [lpar.host]
  apmask = "-5"
  [[lpar.guest]]
  name = "guest1"
  adapters = "5"
  domains = "4"
"""


@pytest.mark.apmatrix(text=MACHINE)
def test_a_queue_in_use_is_denied(apmatrix_machine):
    assert Path(apmatrix.__file__).is_relative_to(Path(__import__("sys").prefix))
    with pytest.raises(OSError) as caught:
        apmatrix_machine.lpar().sysfs.write("/sys/bus/ap/apmask", "+5")
    assert caught.value.errno == errno.EBUSY
    assert apmatrix_machine.guest("guest1").crypto.modexpo(2, 10, 2**1024 - 1) == 1024
'''


def have(*words):
    """Run a program that may lack the network; skips with what it says last."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=350)
    if done.returncode:
        pytest.skip(f"{' '.join(map(str, words[1:4]))}: {done.stderr.strip().splitlines()[-1]}")


@pytest.mark.long
def test_a_project_has_the_plugin_from_the_wheel(tmp_path):
    wheel = build(tmp_path)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    have(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel, "pytest")
    project = tmp_path / "project"
    project.mkdir()
    (project / "test_it.py").write_text(TEST)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
    words = [python, "-m", "pytest", "-W", "error", "--strict-markers"]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "plugins: apmatrix-" in done.stdout
