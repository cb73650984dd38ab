"""Values and encodings of the AP architecture. Imports no other room."""

from apmatrix.arch.cardtype import CardType
from apmatrix.arch.codes import ByteCode, ConditionCode, Facility, FunctionCode, Opcode, ResponseCode
from apmatrix.arch.controlblock import WITHOUT_APXA, ControlBlock, CrycbFormat
from apmatrix.arch.errors import ApmatrixError, Interruption, ProgramCheck
from apmatrix.arch.info import CardFunctions, Configuration, Mode, QueueInfo
from apmatrix.arch.keysets import SETS_OF, KeySet, SetName
from apmatrix.arch.layout import Layout, bits, constant, flag, octets, text
from apmatrix.arch.mask import ALL_BITS, NO_BITS, Mask
from apmatrix.arch.matrix import EMPTY_MATRIX, FULL_MATRIX, Apqn, Matrix
from apmatrix.arch.registers import Instruction, Registers
from apmatrix.arch.status import QueueStatus

__all__ = [
    "ALL_BITS",
    "EMPTY_MATRIX",
    "FULL_MATRIX",
    "NO_BITS",
    "SETS_OF",
    "WITHOUT_APXA",
    "ApmatrixError",
    "Apqn",
    "ByteCode",
    "CardFunctions",
    "CardType",
    "ConditionCode",
    "Configuration",
    "ControlBlock",
    "CrycbFormat",
    "Facility",
    "FunctionCode",
    "Instruction",
    "Interruption",
    "KeySet",
    "Layout",
    "Mask",
    "Matrix",
    "Mode",
    "Opcode",
    "ProgramCheck",
    "QueueInfo",
    "QueueStatus",
    "Registers",
    "ResponseCode",
    "SetName",
    "bits",
    "constant",
    "flag",
    "octets",
    "text",
]
