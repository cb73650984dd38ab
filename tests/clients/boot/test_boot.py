"""A real s390x Linux on the emulated machine: Debian's kernels in QEMU, and crypto in them."""

import errno
import re

import pytest

from apmatrix.arch import Apqn, Facility, Mask, Matrix, Opcode
from apmatrix.cards import Filter
from apmatrix.faces.boot import LevelProcessor, PackageError, Repository, Software, Way
from support.guests import Watched, lszcrypt, rights

SUITES = {"bookworm": "6.1", "trixie": "6.12", "sid": "7."}


# kernels and ways


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("suite", SUITES)
def test_kernel_sees_and_uses_its_cards(session, ica, suite, way):
    code, output = session.run(
        "uname -r; lszcrypt -V; ica rsa /vectors 12 1; ica problem 3; exit 7", kernel=suite, extra=ica, way=way
    )
    assert code == 7
    assert output.startswith(SUITES[suite].encode())
    cards = lszcrypt(output)
    assert sorted(cards) == ["05", "05.0004", "05.00ab", "06", "06.0004", "06.00ab"]
    assert [cards[name][:3] for name in ("05", "06")] == [
        ["CEX8C", "CCA-Coproc", "online"],
        ["CEX8A", "Accelerator", "online"],
    ]
    assert cards["05.0004"][-1] == "cex4queue"
    assert rights(output) == [(12, 0, 0, 0)]
    assert b"signals 3 last 4 code 5" in output  # SIGILL, ILL_PRVOPC: a privileged operation


def test_mailbox_and_breakpoint_are_what_they_say(session):
    for way in Way:
        with session.guest(Software(command="true"), way=way) as guest:
            guest.wait_until_ready()
            assert (guest.bridge.way, guest.bridge.reason) == (way, "")


def test_control_domains_and_mask(session):
    _, output = session.run("lszcrypt -d; cat /sys/bus/ap/ap_control_domain_mask")
    row = next(line.split() for line in output.decode().splitlines() if line.split()[:1] == ["00"] and "B" in line)
    assert row[1 + 4] == "B"  # usage and control
    assert f"0x08{'0' * 62}".encode() in output


class Curious(Watched):
    """A level whose kernel is not told of QCI: it tries every adapter and domain that could exist."""

    @property
    def facilities(self):
        return frozenset({Facility.APFT})


def test_a_guest_that_asks_for_what_is_not_its_own_gets_not_available(session):
    session.add("kvm2", Matrix(Mask.of(5, 6), Mask.of(6)))
    answers = {}

    class Recording(Curious):
        def execute(self, instruction, registers, memory):
            apqn = Apqn.from_code(registers.gr[0] & 0xFFFF)
            code = super().execute(instruction, registers, memory)
            answers[apqn] = registers.gr[1]
            return code

    _, output = session.run("lszcrypt", processor=Recording(session))
    assert sorted(lszcrypt(output)) == ["05", "05.0004", "06", "06.0004"]
    assert {Apqn(5, 6), Apqn(6, 6), Apqn(7, 4)} <= answers.keys()
    assert {gr1 for apqn, gr1 in answers.items() if apqn not in session.level.effective} == {0x00010000}


# crypto


def test_ten_thousand_requests_from_two_processes_on_two_processors(session, ica):
    code, output = session.run("ica rsa /vectors 10000 2", extra=ica, processors=2)
    assert rights(output) == [(5000, 0, 0, 0)] * 2
    assert code == 0


def test_messages_of_more_than_12_kilobytes(session, ica):
    _, output = session.run("ica cprb 16000 2; ica cprb 60000 1", extra=ica)
    results = re.findall(rb"rc (-?\d+) errno (\d+)", output)
    too_long = (b"-1", str(errno.EINVAL).encode())  # more than the card's limit of 24 KiB
    assert results == [(b"0", b"0"), (b"0", b"0"), too_long]


def test_a_reply_that_is_longer_than_the_buffer_is_delivered_in_parts(session, ica):
    class Longer(Filter):
        lengthened = 0

        def reply(self, queue, request, reply):
            if request.message[1] == 0x06 and b"RL" in request.message[:400] and len(request.message) > 1000:
                self.lengthened += 1
                return reply + bytes(50_000)
            return reply

    longer = Longer()
    session.machine.adapters[5].filters.add(longer)
    positions = []

    def seen(instruction, registers):
        if instruction.opcode is Opcode.DQAP and registers.gr[0] >> 32:
            positions.append(registers.gr[0] >> 32)

    _, output = session.run("ica cprb 2000 1; ica cprb 0 1", extra=ica, processor=Watched(session, seen=seen))
    assert longer.lengthened == 1
    assert positions == [24576, 49152]
    results = re.findall(rb"rc (-?\d+) errno (\d+)", output)
    assert results == [(b"-1", str(errno.EMSGSIZE).encode()), (b"0", b"0")]


OPENSSL = ("openssl", "libssl3", "libica3", "libica-utils", "openssl-ibmca")


@pytest.fixture
def openssl():
    """Debian's openssl with the engine that uses libica, as files of a guest; its package puts it in an odd place."""
    try:
        repository = Repository("bookworm")
        trees = [repository.tree(package) for package in repository.fetch(OPENSSL)]
    except PackageError as error:
        pytest.skip(f"packages for s390x are not available: {error}")
    patterns = ("usr/bin/openssl", "usr/bin/icastats", "usr/lib/s390x-linux-gnu/libica*.so*")
    found = {
        str(path.relative_to(tree)): path for tree in trees for pattern in patterns for path in tree.glob(pattern)
    }
    engine = next(path for tree in trees for path in tree.glob("**/libibmca.so"))
    files = {name: path.read_bytes() for name, path in found.items()}
    return files | {
        "usr/lib/s390x-linux-gnu/engines-3/ibmca.so": engine.read_bytes(),
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
        "etc/ssl/openssl.cnf": b"",
    }


def test_openssl_signs_through_libica_and_a_card(session, openssl):
    steps = (
        "cd /tmp; echo text > text; openssl genrsa -out key 2048; openssl rsa -in key -pubout -out public",
        "openssl dgst -sha256 -engine ibmca -sign key -out signature text",
        "openssl dgst -sha256 -verify public -signature signature text; icastats | grep RSA; lszcrypt -V 06",
    )
    processor = LevelProcessor(session.machine, session.level)
    output = bytearray()
    software = Software(command="; ".join(steps), extra=openssl, packages=OPENSSL)
    with session.guest(software, processor=processor) as guest:
        guest.wait_until_ready()
        guest.run_command(output.extend, 300)
    assert b"Verified OK" in output
    counts = re.findall(rb"RSA-(?:ME|CRT) \| +(\d+) +\| +(\d+)", output)
    assert sum(int(hardware) for hardware, _ in counts) >= 1
    assert [software for _, software in counts] == [b"0", b"0"]
    assert int(lszcrypt(output)["06"][3]) >= 1  # requests of the accelerator
