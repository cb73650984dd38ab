"""The program ``apmatrix``, also as ``python -m apmatrix``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program; an interruption while it is being loaded ends it as one later does."""
    try:
        from apmatrix.cli.main import main as program  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    program(prog_name="apmatrix")


if __name__ == "__main__":
    main()
