"""The requests about files with secure keys: make them, have cards open them, put them under a new wrapping key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Apqn, Mode
from apmatrix.cards.ep11.blob import KeyBlob, with_session_of
from apmatrix.cards.securekeys import KEY_BITS, KeyKind, SecureKey
from apmatrix.emulation.errors import KeysRefused
from apmatrix.emulation.refusal import finding_of
from apmatrix.emulation.securekeys import KeyUser
from apmatrix.rules.findings import Finding, Severity
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.keys import manager_of, only
from apmatrix.service.operations import Asked, answers
from apmatrix.service.protocol.keys import (
    CheckedKey,
    CheckKeys,
    FilesDone,
    KeyFile,
    KeyOpener,
    MadeKey,
    MakeKey,
    ReencipheredFile,
    ReencipherFiles,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.emulation.masterkeys import KeyManager
    from apmatrix.emulation.securekeys import Opener


@answers(MakeKey)
def make_key(asked: Asked, request: MakeKey) -> MadeKey:
    """A new secure key for a file; XTS takes two, which the same queue makes."""
    if request.bits not in KEY_BITS:
        raise ControlError(f"an AES key has 128, 192 or 256 bits, not {request.bits}", ExitCode.UNREADABLE)
    user = KeyUser(asked.choose(request.system))
    kind = None if request.type is None else KeyKind(request.type)
    (adapter,) = only(user.fitting(request.adapters, request.domain, kind))
    apqn = Apqn(adapter, request.domain)
    content = b"".join(user.make(apqn, kind, request.bits) for _ in range(1 + request.xts))
    first, *_ = SecureKey.all_in(content)
    return MadeKey(
        str(apqn),
        first.kind.value,
        request.bits,
        request.xts,
        first.kind.key_set.label,
        first.pattern.hex(),
        content,
    )


@answers(CheckKeys)
def check_keys(asked: Asked, request: CheckKeys) -> tuple[CheckedKey, ...]:
    """What the keys in files are, and which of the system's queues can open them."""
    found = [(file.name, key) for file in request.files for key in _keys(file)]
    user, manager = KeyUser(asked.choose(request.system)), manager_of(asked, request)
    queues = user.queues(request.adapters, request.domains)
    return tuple(_checked(name, key, user.openers(key, manager, queues)) for name, key in found)


def _checked(name: str, key: SecureKey, openers: Iterable[Opener]) -> CheckedKey:
    """The facts about a key, with the reason if no queue can open it."""
    opening: list[KeyOpener] = []
    findings: tuple[Finding, ...] = ()
    try:
        opening += (KeyOpener(str(apqn), register) for apqn, register in openers)
        if not opening:
            findings = (Finding(Severity.REFUSED, "none of the queues has its master key"),)
        elif all(each.register == "new" for each in opening):
            findings = (Finding(Severity.REFUSED, "good when the new master key is set"),)
    except KeysRefused as refused:
        findings = (finding_of(refused),)
    label = key.kind.key_set.label
    return CheckedKey(name, key.kind.value, key.bits, label, key.pattern.hex(), tuple(opening), findings)


@answers(ReencipherFiles)
def reencipher_files(asked: Asked, request: ReencipherFiles) -> FilesDone:
    """The contents of files with EP11 blobs, with the blobs under the new wrapping key."""
    manager = manager_of(asked, request)
    (adapter,) = only(manager.adapters(Mode.EP11) if request.adapters is None else request.adapters)
    apqn = Apqn(adapter, request.domain)
    found = [_blobs(file) for file in request.files]
    done = []
    try:
        with manager.turn(apqn):  # all under the same new key
            for file, keys in zip(request.files, found, strict=True):
                content = bytearray(file.content)
                for key in keys:
                    content[key.place] = _reencipher(manager, apqn, file.name, key.token)
                pattern = KeyBlob.parse(bytes(content[keys[0].place])).pattern.hex()
                done.append(ReencipheredFile(file.name, str(apqn), pattern, bytes(content)))
    except ApmatrixError as error:
        return FilesDone((), finding_of(error))
    return FilesDone(tuple(done))


def _reencipher(manager: KeyManager, apqn: Apqn, name: str, blob: bytes) -> bytes:
    try:
        return with_session_of(blob, manager.reencipher(apqn, blob))
    except KeysRefused as refused:
        raise KeysRefused(f"{name}: {refused}", apqn) from refused


def _keys(file: KeyFile) -> tuple[SecureKey, ...]:
    try:
        return SecureKey.all_in(file.content)
    except ValueError as error:
        raise ControlError(f"{file.name}: {error}; nothing has been sent", ExitCode.UNREADABLE) from None


def _blobs(file: KeyFile) -> tuple[SecureKey, ...]:
    """The EP11 blobs of a file, two for XTS."""
    try:
        keys = SecureKey.all_in(file.content)
    except ValueError:
        text = f"{file.name}: there is no EP11 key blob in it; nothing has been sent"
        raise ControlError(text, ExitCode.UNREADABLE) from None
    if other := next((key for key in keys if key.kind is not KeyKind.EP11), None):
        raise ControlError(
            f"{file.name}: it has a {other.kind.value} key, and only EP11 keys are re-enciphered: the old register "
            "of CCA opens what it has wrapped; nothing has been sent",
            ExitCode.UNREADABLE,
        )
    return keys
