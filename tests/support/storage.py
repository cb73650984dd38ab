"""The storage of a guest, as the faces of QEMU have it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apmatrix.faces.boot.storage import Storage, make_storage

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def guest_storage(size: int) -> Iterator[Storage]:
    """Storage of ``size`` bytes, all zero."""
    descriptor = make_storage(size)
    try:
        storage = Storage(descriptor, size)
    finally:
        os.close(descriptor)
    yield storage
    storage.close()
