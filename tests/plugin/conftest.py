"""Test files of other people, run by a pytest of their own."""

import pytest

MACHINE = """
[machine]
name = "{name}"
[[adapter]]
id = 5
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4,5"
"""


@pytest.fixture
def project(pytester):
    """A directory with machines in files; ``project.run`` runs its tests in a process of their own."""
    for path in ("apmatrix.toml", "other.toml", "deep/apmatrix.toml", "ini/named.toml"):
        file = pytester.path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(MACHINE.format(name=path.replace("/", "-").removesuffix(".toml")))
    pytester.makefile(".ini", pytest="[pytest]\naddopts = --strict-markers -W error\n")
    return pytester
