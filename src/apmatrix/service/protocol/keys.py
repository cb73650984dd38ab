"""Master keys. Key parts and blobs are bytes in requests and answers, and base 64 in JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from apmatrix.arch import Mask, SetName
from apmatrix.rules.findings import Finding
from apmatrix.service.protocol.messages import MachineRequest, T_co

KindName = Literal["CCA-AESDATA", "CCA-AESCIPHER", "EP11-AES"]
StepName = Literal["first", "middle", "last", "import", "commit"]


class RegisterFacts(msgspec.Struct, frozen=True):
    """The state of a master key register, and the verification pattern if it has one to show."""

    state: str
    pattern: str | None


class KeyFacts(msgspec.Struct, frozen=True):
    """The master keys of one domain of a card.

    ``controllers`` are the levels that may change them, ``controlled`` says whether the system that asked is one.
    ``registers`` has ``new``, ``current`` and, in CCA domains, ``old`` of each set.
    """

    apqn: str
    adapter: int
    domain: int
    type: str
    controlled: bool
    controllers: tuple[str, ...]
    registers: dict[str, dict[str, RegisterFacts]]


class KeysDone(msgspec.Struct, frozen=True):
    """The keys of the domains that were reached, and the first refusal, which ended the work."""

    done: tuple[KeyFacts, ...]
    refused: Finding | None = None


class KeyRequest(MachineRequest[T_co], frozen=True, kw_only=True):
    """A request about the keys of ``domains`` of ``adapters``.

    ``system`` sends the commands, by default the client's own; ``through`` is the usage domain whose queue carries
    them. The adapter need not be given where only one fits.
    """

    adapters: Mask | None = None
    system: str | None = None
    through: int | None = None


class ShowKeys(KeyRequest[KeysDone], frozen=True, kw_only=True):
    """The keys of these domains, by default of all that the system controls or uses."""

    domains: Mask | None = None


class LoadKey(KeyRequest[KeysDone], frozen=True, kw_only=True):
    """Load a key into the new register of a set: all its parts, or one ``step``; without parts they are generated."""

    domains: Mask
    key_set: SetName
    parts: tuple[bytes, ...] | None
    step: StepName | None = None

    def __repr__(self) -> str:
        return f"LoadKey({self.key_set}, {self.domains!r})"  # without the parts


class SetKey(KeyRequest[KeysDone], frozen=True, kw_only=True):
    """Make the new key of a set the current one."""

    domains: Mask
    key_set: SetName


class ClearKey(KeyRequest[KeysDone], frozen=True, kw_only=True):
    """Empty the new register of a set."""

    domains: Mask
    key_set: SetName


class ZeroizeKeys(KeyRequest[KeysDone], frozen=True, kw_only=True):
    """Empty all registers of the domains, or of all domains of the cards."""

    domains: Mask
    whole_card: bool = False


class KeyFile(msgspec.Struct, frozen=True):
    """The content of a file with secure keys."""

    name: str
    content: bytes


class ReencipheredFile(msgspec.Struct, frozen=True):
    """A file's content with its blobs under the new wrapping key, and that key's verification pattern."""

    name: str
    apqn: str
    pattern: str
    content: bytes


class FilesDone(msgspec.Struct, frozen=True):
    """All files, or none and the refusal."""

    done: tuple[ReencipheredFile, ...]
    refused: Finding | None = None


class ReencipherFiles(KeyRequest[FilesDone], frozen=True, kw_only=True):
    """Put EP11 key blobs under the new wrapping key of a domain: all of them or none."""

    domain: int
    files: tuple[KeyFile, ...]


class MadeKey(msgspec.Struct, frozen=True):
    """A new secure key as a file keeps it: what it is, and the pattern of the master key that wraps it."""

    apqn: str
    type: KindName
    bits: int
    xts: bool
    key_set: str
    pattern: str
    content: bytes


class MakeKey(KeyRequest[MadeKey], frozen=True, kw_only=True):
    """Make a random secure AES key through the queue of ``domain``, or two of them for XTS."""

    domain: int
    type: KindName | None = None
    bits: int = 256
    xts: bool = False


class KeyOpener(msgspec.Struct, frozen=True):
    """A queue that has the master key of a secure key, and in which register: current, old or new."""

    apqn: str
    register: str


class CheckedKey(msgspec.Struct, frozen=True):
    """A secure key of a file, the queues that have its master key, and why it cannot be used if it cannot.

    ``bits`` is None if the key does not tell.
    """

    file: str
    type: KindName
    bits: int | None
    key_set: str
    pattern: str
    openers: tuple[KeyOpener, ...]
    findings: tuple[Finding, ...] = ()


class CheckKeys(KeyRequest[tuple[CheckedKey, ...]], frozen=True, kw_only=True):
    """Have the system's queues, or those of ``domains`` and the adapters, open the keys in files."""

    files: tuple[KeyFile, ...]
    domains: Mask | None = None
