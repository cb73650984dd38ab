"""The requests about master keys: a machine sends commands from one of its systems, through its queues.

Key parts come in requests and leave no trace: not in an answer, an error or a log.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from apmatrix.arch import SETS_OF, ApmatrixError, Apqn, KeySet, Mask
from apmatrix.cards import Action
from apmatrix.emulation.masterkeys import KeyManager
from apmatrix.emulation.refusal import finding_of
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.operations import Asked, answers
from apmatrix.service.protocol.keys import (
    ClearKey,
    KeyFacts,
    KeyRequest,
    KeysDone,
    LoadKey,
    RegisterFacts,
    SetKey,
    ShowKeys,
    ZeroizeKeys,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from apmatrix.emulation.masterkeys import DomainKeys, SetState

    Change = Callable[[Apqn], DomainKeys]
    Load = Callable[[Apqn], SetState]

_CCA_STEPS: Final[Mapping[str, Action]] = {
    "first": Action.LOAD_FIRST,
    "middle": Action.LOAD_MIDDLE,
    "last": Action.LOAD_LAST,
}
_EP11_STEPS: Final[Mapping[str, Action]] = {"import": Action.IMPORT, "commit": Action.COMMIT}


@answers(ShowKeys)
def show_keys(asked: Asked, request: ShowKeys) -> KeysDone:
    """The keys of the domains that the system controls or uses, or of those that are named."""
    return _until_refused(manager_of(asked, request).look(request.adapters, request.domains))


@answers(LoadKey)
def load_key(asked: Asked, request: LoadKey) -> KeysDone:
    """Load the same parts into every domain; ControlError, with nothing sent, for what is not a key part."""
    manager, key_set = manager_of(asked, request), KeySet.of(request.key_set)
    load = _load(manager, key_set, request)
    return _change(manager, request, key_set, lambda apqn: manager.domain(apqn, (load(apqn),)))


@answers(SetKey)
def set_key(asked: Asked, request: SetKey) -> KeysDone:
    """Make the new key the current one."""
    manager, key_set = manager_of(asked, request), KeySet.of(request.key_set)
    return _change(manager, request, key_set, lambda apqn: manager.domain(apqn, (manager.set(key_set, apqn),)))


@answers(ClearKey)
def clear_key(asked: Asked, request: ClearKey) -> KeysDone:
    """Empty the new register of a set."""
    manager, key_set = manager_of(asked, request), KeySet.of(request.key_set)
    return _change(manager, request, key_set, lambda apqn: manager.domain(apqn, (manager.clear(key_set, apqn),)))


@answers(ZeroizeKeys)
def zeroize_keys(asked: Asked, request: ZeroizeKeys) -> KeysDone:
    """Empty all registers of the domains, or of the whole card."""
    manager = manager_of(asked, request)

    def zeroize(apqn: Apqn) -> DomainKeys:
        manager.zeroize(apqn, card=request.whole_card)
        return manager.domain(apqn, ())

    return _change(manager, request, None, zeroize)


def manager_of(asked: Asked, request: KeyRequest[Any]) -> KeyManager:
    """The administrator in the system that a request names."""
    return KeyManager(asked.emulation, asked.choose(request.system), request.through)


def _change(
    manager: KeyManager,
    request: LoadKey | SetKey | ClearKey | ZeroizeKeys,
    key_set: KeySet | None,
    change: Change,
) -> KeysDone:
    """Change each domain of each adapter that is named, or of the only one that has ``key_set``."""
    fitting = manager.adapters(*(mode for mode, sets in SETS_OF.items() if key_set is None or key_set in sets))
    adapters = request.adapters or only(fitting)
    return _until_refused(change(Apqn(adapter, domain)) for adapter in adapters for domain in request.domains)


def _until_refused(changes: Iterable[DomainKeys]) -> KeysDone:
    """The facts of what was done before a refusal, and the refusal."""
    done: list[KeyFacts] = []
    try:
        done.extend(_facts(keys) for keys in changes)
    except ApmatrixError as error:
        return KeysDone(tuple(done), finding_of(error))
    return KeysDone(tuple(done))


def _facts(keys: DomainKeys) -> KeyFacts:
    registers = {
        state.key_set.label: {
            name: RegisterFacts(register.state, register.pattern)
            for name, register in (("new", state.new), ("current", state.current), ("old", state.old))
            if register is not None
        }
        for state in keys.sets
    }
    apqn = keys.apqn
    return KeyFacts(str(apqn), apqn.adapter, apqn.domain, keys.type, keys.controlled, keys.controllers, registers)


def _load(manager: KeyManager, key_set: KeySet, request: LoadKey) -> Load:
    """Load all parts, or take one step; the same parts for every domain."""
    step = request.step
    if request.parts is None:
        count = int(step != "commit") if step or key_set is KeySet.WK else 2
        parts = [secrets.token_bytes(key_set.key_size) for _ in range(count)]
    else:
        parts = [_part(number, content, key_set) for number, content in enumerate(request.parts, 1)]
    if step is None:
        return lambda apqn: manager.load(key_set, apqn, parts)
    steps = _EP11_STEPS if key_set is KeySet.WK else _CCA_STEPS
    if step not in steps:
        sentence = f"loading {key_set.label} has the steps {', '.join(steps)}, not {step}"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    if len(parts) != (step != "commit"):
        wanted = "takes no key part" if step == "commit" else "takes one key part"
        raise ControlError(f"the step {step} {wanted}, not {len(parts)}", ExitCode.UNREADABLE)
    return lambda apqn: manager.step(steps[step], key_set, apqn, b"".join(parts))


def _part(number: int, content: bytes, key_set: KeySet) -> bytes:
    """The key part in a file."""
    try:
        return key_set.read_part(content)
    except ValueError as error:
        raise ControlError(f"part {number} {error}; nothing has been loaded", ExitCode.UNREADABLE) from None


def only(fitting: Mask) -> Mask:
    """The only adapter, if none was named; ControlError if there are several, or none."""
    if not fitting:
        sentence = (
            "this system uses no coprocessor that has such a key: name another system with --from, or give it one"
        )
        raise ControlError(sentence)
    if len(fitting) != 1:
        sentence = f"choose an adapter with --adapter (available: {fitting.ranges()})"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    return fitting
