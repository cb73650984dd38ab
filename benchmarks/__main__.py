"""``python -m benchmarks [NAME …] [--readme]``: measure, print a table, and put it into the README if asked."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import benchmarks
from benchmarks.report import BEGIN, END, Result, table

NOT_BENCHMARKS = frozenset(("__main__", "report", "bringup"))
README = Path(__file__).resolve().parent.parent / "README.md"


def main(arguments: list[str]) -> None:
    """Run the named benchmark modules, or all."""
    into_readme = "--readme" in arguments
    wanted = [name for name in arguments if not name.startswith("-")]
    found: list[Result] = []
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name in NOT_BENCHMARKS or (wanted and module.name not in wanted):
            continue
        print(f"measuring {module.name} …", file=sys.stderr)
        found.extend(importlib.import_module(f"benchmarks.{module.name}").results())
    text = table(found)
    print(text)
    if into_readme:
        before, _, rest = README.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main(sys.argv[1:])
