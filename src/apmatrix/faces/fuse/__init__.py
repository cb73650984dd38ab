"""The kernel's FUSE protocol, as far as an emulated /sys and /dev need it.

``docs/clients.md`` says why this is spoken here and not through libfuse.
"""

from apmatrix.faces.fuse.channel import Channel, FuseRequest, Handler
from apmatrix.faces.fuse.wire import Attributes, Entry, FuseOpcode

__all__ = ["Attributes", "Channel", "Entry", "FuseOpcode", "FuseRequest", "Handler"]
