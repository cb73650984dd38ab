"""Starts programs that wait for replies that never come, and kills them; prints how each one ended, in JSON."""

import json
import os
import signal
import sys
from pathlib import Path

CLIENT = str(Path(__file__).with_name("zcrypt_client.py"))
CARDS = Path("/sys/bus/ap/devices")
USES = {
    "rsa": lambda: os.execv(sys.executable, [sys.executable, CLIENT, "z90crypt", "right"]),
    "random": lambda: os.read(os.open("/dev/hwrng", os.O_RDONLY), 2 * 4096),
}


def waiting():
    """How many requests have no reply yet."""
    return sum(
        int((card / file).read_text())
        for card in CARDS.glob("card*")
        for file in ("requestq_count", "pendingq_count")
    )


def start(use):
    child = os.fork()
    if not child:
        USES[use]()
        os._exit(1)
    return child


def main(*uses):
    """Of several programs that read /dev/hwrng only one has a request; the others wait for it.

    Each wants more than the kernel may have in stock.
    """
    children = [start(use) for use in uses]
    expected = uses.count("rsa") + ("random" in uses)
    while waiting() < expected:
        pass
    if os.environ.get("LEAVE"):
        print("left", flush=True)
        return
    for child in children:
        os.kill(child, signal.SIGKILL)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))


if __name__ == "__main__":
    main(*sys.argv[1:])
