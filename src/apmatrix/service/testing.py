"""What a running machine does for testers when asked: faults, records of its traffic, replay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Mask
from apmatrix.cards import Fault
from apmatrix.cards.faults import FaultError
from apmatrix.emulation.testbed import send_again
from apmatrix.faces.lines import ControlError

if TYPE_CHECKING:
    from apmatrix.emulation import Emulation, System


def change_faults(emulation: Emulation, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Add a fault, remove one or all, or only look; the faults that are on afterwards.

    ControlError for words that make no sense, or for a number that is not on.
    """
    testbed = emulation.testbed
    try:
        if request["action"] == "add":
            testbed.add_fault(Fault.parse(request["words"]))
        elif request["action"] == "remove":
            testbed.remove_fault(request.get("number"))
    except FaultError as error:
        raise ControlError(str(error), code=2) from error
    return [
        {"number": number, "fault": str(fault), "happened": hits}
        for number, (fault, hits) in testbed.faults().items()
    ]


def record(emulation: Emulation, request: dict[str, Any]) -> dict[str, Any]:
    """Start or stop a record; TestbedError if that cannot be."""
    if request["action"] == "start":
        emulation.testbed.start_record(Path(request["file"]), _adapters(request))
        return {"file": request["file"]}
    path, count = emulation.testbed.stop_record()
    return {"file": str(path), "exchanges": count}


def replay(emulation: Emulation, system: System, request: dict[str, Any]) -> dict[str, Any]:
    """Start or stop a replay, or send a record's requests again; TestbedError if that cannot be."""
    if request["action"] == "start":
        count = emulation.testbed.start_replay(Path(request["file"]), _adapters(request))
        return {"file": request["file"], "exchanges": count}
    if request["action"] == "stop":
        return {"file": str(emulation.testbed.stop_replay())}
    count, differing = send_again(system, Path(request["file"]))
    return {
        "exchanges": count,
        "differing": [
            {"apqn": str(exchange.apqn), "time": exchange.time, "problem": problem} for exchange, problem in differing
        ],
    }


def _adapters(request: dict[str, Any]) -> Mask | None:
    value = request.get("adapters")
    return None if value is None else Mask.parse_ids(value)
