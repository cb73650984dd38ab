"""zcrypt: the host's own card drivers, and the requests of its programs."""

from apmatrix.linux.zcrypt.cprb import CcaReply, CcaRequest, Ep11Request
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.rsa import ModExpo, ModExpoCrt
from apmatrix.linux.zcrypt.zcrypt import Zcrypt

__all__ = ["CcaReply", "CcaRequest", "Ep11Request", "ModExpo", "ModExpoCrt", "Permissions", "Zcrypt"]
