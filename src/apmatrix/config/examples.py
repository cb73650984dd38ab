"""The example files that come with the package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apmatrix.rules.shipped import shipped

DEFAULT: Final = "three-guests"
"""The example of the kernel's document on vfio_ap, which the demonstration shows by default."""


@dataclass(frozen=True, slots=True)
class Example:
    """An example: its name, its text, and the first sentence of the comment that begins it."""

    name: str
    text: str

    @property
    def about(self) -> str:
        """What it shows."""
        lines = re.findall(r"^#(.*)$", self.text, re.MULTILINE)
        return re.split(r"(?<=\w)\.(?:\s|$)", " ".join(line.strip() for line in lines[:3]))[0]


def examples() -> dict[str, Example]:
    """All examples by name, in the order of the alphabet."""
    folder = shipped("examples", "examples")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    texts = ((name.removesuffix(".toml"), folder.joinpath(name).read_text(encoding="utf-8")) for name in files)
    return {name: Example(name, text) for name, text in texts}
