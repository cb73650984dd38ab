"""What a running machine does about master keys when asked: commands from one of its systems, through its queues.

Key parts come in requests, in hexadecimal, and leave no trace: not in an answer, an error or a log.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from apmatrix.arch import ApmatrixError, Apqn, Mask, Mode
from apmatrix.cards import Action, KeySet
from apmatrix.cards.ep11.blob import KeyBlob, find_blob, with_session_of
from apmatrix.emulation.masterkeys import SETS, KeyOffice, KeysRefused
from apmatrix.faces.lines import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.emulation import Emulation, System
    from apmatrix.emulation.masterkeys import DomainKeys

    Change = Callable[[Apqn], DomainKeys]

_SETS: Final = {key_set.label: key_set for key_set in KeySet}
_CCA_STEPS: Final[Mapping[str, Action]] = {
    "first": Action.LOAD_FIRST,
    "middle": Action.LOAD_MIDDLE,
    "last": Action.LOAD_LAST,
}
_EP11_STEPS: Final[Mapping[str, Action]] = {"import": Action.IMPORT, "commit": Action.COMMIT}


def administer(emulation: Emulation, system: System, request: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request of ``apmatrix key`` for each domain of each adapter that it names.

    ``done`` has the keys of the domains afterwards, ``refused`` the sentence of the first refusal, which ends it.
    ControlError or ValueError for a request that makes no sense, and then nothing was sent.
    """
    through = request.get("through")
    office = KeyOffice(emulation, system, None if through is None else int(through))
    adapters, domains = (_mask(request, field) for field in ("adapters", "domains"))
    done: list[dict[str, Any]] = []
    try:
        if request["action"] == "show":
            done.extend(keys.as_json() for keys in office.look(adapters, domains))
        elif request["action"] == "reencipher":
            done.extend(_reencipher(office, adapters, request))  # all of them or none
        else:
            change, fitting = _change(office, request)
            apqns = (Apqn(adapter, domain) for adapter in adapters or _only(fitting) for domain in domains or ())
            done.extend(change(apqn).as_json() for apqn in apqns)  # keeps what was done before a refusal
    except ControlError:
        raise
    except ApmatrixError as error:
        return {"done": done, "refused": str(error)}
    return {"done": done, "refused": None}


def _change(office: KeyOffice, request: dict[str, Any]) -> tuple[Change, Mask]:
    """What to do with each domain, and the adapters that it can be done with."""
    action = request["action"]
    if action in ("zeroize", "zeroize-card"):

        def zeroize(apqn: Apqn) -> DomainKeys:
            office.zeroize(apqn, card=action == "zeroize-card")
            return office.domain(apqn, ())

        return zeroize, office.adapters(*SETS)
    key_set = _SETS[request["set"]]
    fitting = office.adapters(*(mode for mode, sets in SETS.items() if key_set in sets))
    if action == "load":
        steps = _steps(office, key_set, request)
        return lambda apqn: office.domain(apqn, (steps(apqn),)), fitting
    transition = {"set": office.set, "clear": office.clear}[action]
    return lambda apqn: office.domain(apqn, (transition(key_set, apqn),)), fitting


def _reencipher(office: KeyOffice, adapters: Mask | None, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The contents of files with EP11 blobs, with the blobs under the new wrapping key."""
    (adapter,) = _only(office.adapters(Mode.EP11) if adapters is None else adapters)
    apqn = Apqn(adapter, int(request["domain"]))
    found = [(name, bytes.fromhex(content)) for name, content in request["blobs"]]
    places = [_place(name, content) for name, content in found]
    answers = []
    for (name, content), place in zip(found, places, strict=True):
        try:
            blob = with_session_of(content[place], office.reencipher(apqn, content[place]))
        except KeysRefused as refused:
            raise KeysRefused(f"{name}: {refused}") from refused
        whole = content[: place.start] + blob + content[place.stop :]
        answers.append(
            {"file": name, "apqn": str(apqn), "pattern": KeyBlob.parse(blob).pattern.hex(), "content": whole.hex()}
        )
    return answers


def _place(name: str, content: bytes) -> slice:
    try:
        return find_blob(content)
    except ValueError as error:
        raise ControlError(f"{name}: {error}; nothing has been sent", code=2) from None


def _steps(office: KeyOffice, key_set: KeySet, request: dict[str, Any]) -> Callable[[Apqn], Any]:
    """Load all parts, or take one step; the same parts for every domain."""
    step = request.get("step")
    if request.get("random"):
        count = int(step != "commit") if step or key_set is KeySet.WK else 2
        parts = [secrets.token_bytes(key_set.key_size) for _ in range(count)]
    else:
        parts = [_part(number, content, key_set) for number, content in enumerate(request["parts"], 1)]
    if step is None:
        return lambda apqn: office.load(key_set, apqn, parts)
    steps = _EP11_STEPS if key_set is KeySet.WK else _CCA_STEPS
    if step not in steps:
        raise ControlError(f"loading {key_set.label} has the steps {', '.join(steps)}, and none {step}", code=2)
    if len(parts) != (step != "commit"):
        wanted = "takes no key part" if step == "commit" else "takes one key part"
        raise ControlError(f"the step {step} {wanted}, not {len(parts)}", code=2)
    return lambda apqn: office.step(steps[step], key_set, apqn, b"".join(parts))


def _part(number: int, content: str, key_set: KeySet) -> bytes:
    """A key part as a file has it: the bytes themselves, or their hexadecimal digits."""
    raw, size = bytes.fromhex(content), key_set.key_size
    if len(raw) == size:
        return raw
    try:
        part = bytes.fromhex(raw.decode("ascii").strip().removeprefix("0x"))
    except ValueError:
        part = b""
    if len(part) != size:
        raise ControlError(
            f"part {number} is no part of the {key_set.label} master key: it must have {size} bytes, or {2 * size} "
            "hexadecimal digits; nothing has been loaded",
            code=2,
        )
    return part


def _only(fitting: Mask) -> Mask:
    """The adapter need not be named if there is one only."""
    if len(fitting) != 1:
        raise ControlError(f"which adapter? --adapter, of {fitting.ranges() or 'none'}", code=2)
    return fitting


def _mask(request: dict[str, Any], field: str) -> Mask | None:
    value = request.get(field)
    return None if value is None else Mask.parse_ids(value)
