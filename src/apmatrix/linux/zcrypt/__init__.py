"""zcrypt: the host's own card drivers, and the requests of its programs."""

from apmatrix.linux.zcrypt.byteorder import ByteOrder
from apmatrix.linux.zcrypt.cprb import CcaReply, CcaRequest, Ep11Request
from apmatrix.linux.zcrypt.memory import UserMemory
from apmatrix.linux.zcrypt.nodes import ZcryptFile
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.rsa import ModExpo, ModExpoCrt
from apmatrix.linux.zcrypt.zcrypt import Zcrypt

__all__ = [
    "ByteOrder",
    "CcaReply",
    "CcaRequest",
    "Ep11Request",
    "ModExpo",
    "ModExpoCrt",
    "Permissions",
    "UserMemory",
    "Zcrypt",
    "ZcryptFile",
]
