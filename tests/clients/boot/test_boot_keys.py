"""What a real kernel tells of a CCA card's master keys: it asks the card, by its own messages."""

import re

import pytest

from apmatrix.arch import Apqn, CardType, KeySet, Mask, Matrix
from apmatrix.cards import Action, KeyCommand

CCA, EP11 = Apqn(5, 4), Apqn(7, 4)
COMMAND = "cd /sys/bus/ap/devices; cat 05.0004/mkvps 07.0004/mkvps; cat card05/serialnr card07/serialnr"
CHANGES = {
    KeySet.AES: ((Action.LOAD_FIRST, bytes(range(32))), (Action.LOAD_LAST, bytes(32)), (Action.SET, b"")),
    KeySet.APKA: ((Action.LOAD_FIRST, bytes(32)), (Action.LOAD_LAST, bytes(range(32)))),
    KeySet.WK: ((Action.IMPORT, bytes(range(32))), (Action.COMMIT, b""), (Action.FINALIZE, b"")),
}


def administer(session, level, key_set):
    """Load or set a key by instructions; the registers afterwards."""
    apqn = EP11 if key_set is KeySet.WK else CCA
    port = session.machine.port(level, apqn)
    for action, part in CHANGES[key_set]:
        command = KeyCommand(action, key_set, apqn.domain, part)
        assert port.nqap(1, command.message(apqn.domain)).ok
        session.machine.adapters[apqn.adapter].queue(apqn.domain).wait()
        view = command.result(port.dqap(12288).data)
    return view


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "sid"])
def test_master_keys_and_serial_numbers(session, suite):
    session.machine.add_adapter(7, CardType.parse("CEX8P"))
    session.machine.set_profile("kvm1", Matrix(Mask.of(5, 6, 7), Mask.of(4), Mask.of(4)))
    aes, apka, wrapping = (administer(session, session.level, key_set) for key_set in CHANGES)
    _, output = session.run(COMMAND, kernel=suite)
    text = output.decode()
    told = dict(re.findall(r"^(AES CUR|APKA NEW|ASYM OLD|WK CUR): (\w+ \w+)", text, re.MULTILINE))
    assert told == {
        "AES CUR": f"valid 0x{aes.current[1].hex()}",
        "APKA NEW": f"full 0x{apka.new[1].hex()}",
        "ASYM OLD": f"invalid 0x{bytes(16).hex()}",
        "WK CUR": f"valid 0x{wrapping.current[1].hex()}",
    }
    assert text.split()[-2:] == ["93AABA05", "93AABA0700000000"]
