"""The trials: one line each, ``WORK; WORK …: FAULT; FAULT …``. To add one, write a line and record it.

Work is ``cca`` and ``ep11`` (a request to a queue), ``rsa``, ``random``, ``read DEVICE ATTRIBUTE``, ``write DEVICE
ATTRIBUTE TEXT``, ``rebind`` and ``unbind QUEUE``, ``replug ADAPTER`` (the LPAR gets it back), ``state ADAPTER STATE``
and ``nothing`` (only the scans). Faults are those of ``docs/faults.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import ResponseCode
from apmatrix.arch.messages import ReplyCode
from apmatrix.cards import QueueFunction
from support.differential.trial import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

WORK_OF_FUNCTION: Final = {
    QueueFunction.NQAP: ("cca 05.0004",),
    QueueFunction.DQAP: ("cca 05.0004",),
    QueueFunction.RAPQ: ("write 05.0004 reset 1", "replug 5"),
    QueueFunction.TAPQ: ("write 05.0004 reset 1", "replug 5", "nothing"),
    QueueFunction.ZAPQ: ("rebind 05.0004",),
}
"""What makes Linux execute a function."""

RESPONSES: Final = tuple(code for code in ResponseCode if not 0x30 <= code < 0x40)
"""The response codes, without those of the functions that only Secure Execution guests use."""

ASYNCHRONOUS: Final = (0x00, 0x02, 0x03, 0x05, 0x10, 0x15)
"""The codes for asynchronous errors: Linux looks at the bit first, and seldom at the code."""

WORK_OF_REPLY: Final = ("cca 05.0004", "ep11 06.0004", "rsa")

OTHERS: Final = """
nothing: adapter=5 on=aqic response=0x06
cca 05.0004: adapter=5 domain=4 lose=gone times=1
cca 05.0004: adapter=5 domain=4 lose=held times=1
cca 05.0004; cca 05.0004: adapter=5 domain=4 lose=held times=1
cca 05.0004; cca 05.0004; cca 05.0004: adapter=5 domain=4 lose=gone times=2
cca 05.0004; write 05.0004 reset 1: adapter=5 domain=4 lose=held times=1
cca 05.0004; write 05.0004 online 0: adapter=5 domain=4 lose=held times=1
cca 05.0004; write card05 online 0: adapter=5 domain=4 lose=held times=1
cca 05.0004; unbind 05.0004: adapter=5 domain=4 lose=held times=1
cca 05.0004; state 5 deconfigured: adapter=5 domain=4 lose=held times=1
cca 05.0004; state 5 checkstopped: adapter=5 domain=4 lose=held times=1
cca 05.0004: adapter=5 domain=4 delay=0.1
ep11 06.0004: adapter=6 delay=0.1 times=1
ep11 06.0004: adapter=6 lose=gone times=1
ep11 06.0004: adapter=6 lose=held times=1
rsa: adapter=4 lose=gone times=1
rsa: adapter=4 lose=held times=1
rsa: adapter=4 delay=0.1
rsa: adapter=4 on=nqap response=0x03
rsa: adapter=4 on=nqap response=0x16
rsa: adapter=4 on=dqap response=0x04
rsa: on=nqap response=0x10 times=2
rsa: adapter=4 state=deconfigured times=1
rsa: adapter=4 state=checkstopped times=1
cca 05.0004: adapter=5 state=deconfigured times=1
cca 05.0004: adapter=5 state=checkstopped times=1
ep11 06.0004: adapter=6 state=deconfigured times=1
ep11 06.0004: adapter=6 state=checkstopped times=1
state 5 deconfigured:
state 5 checkstopped:
state 5 deconfigured; cca 05.0004:
state 5 checkstopped; cca 05.0004:
state 5 deconfigured; write 05.0004 online 1:
state 5 checkstopped; write card05 online 1:
state 4 deconfigured; rsa:
state 4 checkstopped; rsa:
cca 05.0004; cca 05.0047: adapter=5 domain=4 on=nqap response=0x03 times=1
cca 05.0004; rsa: adapter=5 domain=4 on=nqap async=yes response=0x03 times=1
cca 05.0004; ep11 06.0004: adapter=5 domain=4 on=nqap async=yes response=0x03 times=1
cca 05.0004; ep11 06.0004: adapter=5 domain=4 on=nqap response=0x03 times=1
cca 05.0004; cca 05.0004: adapter=5 domain=4 on=nqap response=0x03 times=1
cca 05.0004; cca 05.0004: adapter=5 domain=4 on=dqap response=0x03 times=1
cca 05.0004; ep11 06.0004: adapter=5 domain=4 on=dqap async=yes response=0x03 times=1
cca 05.0004: adapter=5 domain=4 on=nqap response=0x10 times=2
cca 05.0004: adapter=5 domain=4 on=nqap response=0x02 times=2; adapter=5 domain=4 on=tapq response=0x02 times=2
cca 05.0004: adapter=5 domain=4 on=nqap response=0x03 times=1; adapter=5 on=rapq response=0x04
cca 05.0004: adapter=5 domain=4 on=dqap response=0x13; adapter=5 on=rapq response=0x04
cca 05.0004; write 05.0004 reset 1: adapter=5 domain=4 on=dqap response=0x13; adapter=5 on=rapq response=0x02 times=2
read card05 serialnr: adapter=5 on=nqap response=0x03 times=1
read card05 serialnr: adapter=5 on=dqap response=0x04 times=1
read card05 serialnr: adapter=5 reply=0x90
read 05.0004 mkvps: adapter=5 domain=4 on=nqap response=0x03 times=1
read 05.0004 mkvps: adapter=5 reply=0x10 times=1
read 06.0004 mkvps: adapter=6 reply=0x10
read card06 op_modes: adapter=6 on=dqap response=0x03 times=1
read 05.0004 ap_functions: adapter=5 on=tapq response=0x06
read 05.0004 ap_functions: adapter=5 on=tapq response=0x10 async=yes
write 05.0004 driver_override vfio_ap; rebind 05.0004:
rebind 05.0004: adapter=5 domain=4 on=rapq response=0x03 times=1
rebind 05.0004: adapter=5 domain=4 on=rapq response=0x02 times=1
rebind 05.0004: adapter=5 domain=4 on=tapq response=0x04
rebind 05.0004; cca 05.0004: adapter=5 domain=4 on=rapq response=0x03
replug 4; rsa: adapter=4 on=tapq response=0x02
replug 6; ep11 06.0004: adapter=6 on=tapq response=0x05
replug 5; random: adapter=5 lose=gone times=1
replug 5: adapter=5 reply=0x10
"""


def cases() -> dict[str, Case]:
    """All cases, by their lines."""
    return {str(case): case for case in (*map(Case.parse, OTHERS.strip().splitlines()), *_replies(), *_functions())}


def _functions() -> Iterator[Case]:
    for end in ("", " times=1", " async=yes", " async=yes times=1"):
        for function, works in WORK_OF_FUNCTION.items():
            for code in RESPONSES:
                if "async" in end and code not in ASYNCHRONOUS:
                    continue
                if not code and not end and function in (QueueFunction.NQAP, QueueFunction.DQAP):
                    continue  # a request that is taken and not there, again and again: Linux never comes back
                fault = f"adapter=5 domain=4 on={function.value} response={code:#04x}{end}"
                yield from (Case((work,), (fault,)) for work in works)


def _replies() -> Iterator[Case]:
    for work in WORK_OF_REPLY:
        adapter = {"rsa": 4, "ep11": 6}.get(work.split()[0], 5)
        for code in ReplyCode:
            if code is not ReplyCode.NORMAL:
                yield Case((work,), (f"adapter={adapter} reply={code:#04x}",))
        for status in (0x00, 0x4D, 0x22):
            yield Case((work,), (f"adapter={adapter} reply=0x90 status={status:#04x}",))
