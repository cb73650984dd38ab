"""Requests through the queues of a system, and the instructions below them."""

import errno

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import apmatrix
from apmatrix import Apqn, FlatMemory, Instruction, Opcode, Registers, ResponseCode, RsaKey
from support import cca, ep11

KEY = RsaKey.generate(1024)
RANDOM = cca.request(cca.parameters(b"RL", [b"RANDOM"]), domain=4)
ON_7 = cca.request(cca.parameters(b"RL", [b"RANDOM"]), domain=7)


@pytest.mark.parametrize(
    ("system", "queue"),
    [("outer", "05.0005"), ("kvm1", "06.0004"), ("kvm1", (7, 7)), ("inner", Apqn(5, 4)), ("kvm1", None)],
)
def test_rsa_is_what_pow_says(nested, system, queue):
    crypto = nested.system(system).crypto
    hidden = crypto.modexpo(0x1234, KEY.e, KEY.n, queue=queue)
    assert hidden == pow(0x1234, KEY.e, KEY.n)
    assert crypto.rsa_private(hidden, KEY, queue=queue) == 0x1234


def test_the_queue_that_is_named_is_used(nested):
    host = nested.lpar()
    host.crypto.modexpo(2, 3, KEY.n, queue="07.0005")
    counts = {str(apqn): host.sysfs.read(f"bus/ap/devices/{apqn}/request_count") for apqn in host.queues}
    assert {name for name, count in counts.items() if count == "1"} == {"07.0005"}


def test_keys_of_the_library_can_be_used(nested):
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.private_numbers()
    answer = nested.lpar().crypto.rsa_private(99, RsaKey.of(key))
    assert answer == pow(99, numbers.d, numbers.public_numbers.n)


def test_what_zcrypt_refuses_is_an_oserror_with_its_reason(nested):
    crypto = nested.guest("inner").crypto
    with pytest.raises(OSError, match="queue") as caught:
        crypto.modexpo(2, 3, KEY.n, queue="07.0005")
    assert caught.value.errno == errno.ENODEV
    assert isinstance(caught.value.__cause__, apmatrix.Refused)
    for length, said in ((5000, "it needs a card for a modulus of 5000 bits: .*128 to 4096"), (2048, "none of card")):
        with pytest.raises(OSError, match=said):
            nested.lpar().crypto.modexpo(2, 3, (1 << length) - 1, queue="07.0099" if length < 5000 else None)
    with pytest.raises(OverflowError):
        crypto.modexpo(1 << 2000, 3, KEY.n)
    with pytest.raises(ValueError, match="APQN"):
        crypto.modexpo(2, 3, KEY.n, queue="7-5")


def test_a_cprb_goes_to_the_domain_that_it_names(nested):
    reply = nested.guest("inner").crypto.cprb(RANDOM[88:], adapter=5)
    assert isinstance(reply, apmatrix.CcaReply)
    assert (reply.cprbx.return_code, reply.cprbx.reason_code, reply.cprbx.domain) == (0, 0, 4)
    with pytest.raises(OSError, match="queue") as caught:
        nested.guest("inner").crypto.cprb(RANDOM[88:], adapter=6)
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="fit") as caught:
        nested.guest("inner").crypto.cprb(RANDOM[88:], room=220)
    assert caught.value.errno == errno.EMSGSIZE


def test_an_ep11_cprb_goes_to_its_target(nested):
    host = nested.lpar()
    message = ep11.request(38, (ep11.word(1), ep11.word(0)), 6)
    reply = host.crypto.ep11(message[88:], targets=["08.0006"])
    assert int.from_bytes(reply[12:16], "big") == 6
    assert host.sysfs.read("bus/ap/devices/08.0006/request_count") == "1"
    with pytest.raises(OSError, match="queue") as caught:
        host.crypto.ep11(message[88:], targets=[(7, 6)])
    assert caught.value.errno == errno.ENODEV


def test_random_bytes_come_from_a_coprocessor(nested):
    crypto = nested.guest("outer").crypto
    assert len({crypto.random(32), crypto.random(32)}) == 2
    with pytest.raises(OSError, match="random") as caught:
        nested.lpar().crypto.random(1)
    assert caught.value.errno == errno.ENODEV


def test_instructions_are_executed_at_the_level_of_the_system(nested):
    host, outer = nested.lpar().cpu, nested.guest("outer").cpu
    status, info = outer.tapq("05.0005")
    assert (status.ok, status.empty, info.hardware_type) == (True, True, 14)
    for cpu, apqn, code in (
        (outer, "05.0006", ResponseCode.NOT_AVAILABLE),
        (host, (5, 6), ResponseCode.NORMAL),
        (host, Apqn(9, 9), ResponseCode.NOT_AVAILABLE),
    ):
        assert cpu.tapq(apqn)[0].response_code == code
        assert cpu.rapq(apqn).response_code == code
        assert cpu.zapq(apqn).response_code == code
    assert outer.qci().matrix.describe() == "adapters 5, usage domains 4-5, control domains none"


def test_a_reply_has_the_id_of_its_request(nested):
    """The queue is one that the Linux at the level has no driver for, so that it does not take the reply."""
    cpu = nested.lpar().cpu
    assert cpu.dqap("05.0007").status.response_code == ResponseCode.NO_PENDING_REPLY
    assert cpu.nqap("05.0007", 0xAB12, ON_7).ok
    delivery = cpu.dqap("05.0007")
    assert (delivery.status.ok, delivery.message_id, delivery.data[1]) == (True, 0xAB12, 0x86)
    assert cpu.nqap("05.0007", 0xAB13, ON_7).ok
    assert cpu.dqap("05.0007", 16).remaining == len(delivery.data) - 16


def test_registers_and_memory_change_as_on_the_hardware(nested):
    cpu, registers, memory = nested.guest("outer").cpu, Registers(), FlatMemory(4096)
    registers.gr[0], registers.gr[2] = 0x0400_0000, 1024
    assert cpu.execute(Instruction(Opcode.PQAP), registers, memory) == 0
    assert memory.content[1024 + 16] == 0x04  # the leftmost byte of the APM: adapter 5
    registers.gr[0] = 0x7F00_0000
    with pytest.raises(apmatrix.ProgramCheck) as caught:
        cpu.execute(Instruction(Opcode.PQAP), registers, memory)
    assert caught.value.code == 6
