"""Secrets stay in the memory of the process that has them: no core dump, no debugger of another program."""

from __future__ import annotations

import resource

from apmatrix.faces.libc import close_memory


def forbid_core_dumps() -> None:
    """Let no crash write the memory of this process to a disk, and no other program of its user read it.

    Every process that sees a key, a key part or what encrypts them calls it before that. Children inherit it; a
    program that they execute can be debugged again, but still leaves no dump.
    """
    # One byte: where a program receives the dump, Linux takes 0 as no limit, and 1 as no dump at all.
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    close_memory()
