"""Vectors K1 to K25: what Linux 7.2 makes of machine M and of odd replies (hardware.md 8.2).

The devices are those that zcrypt's own interfaces show; where a vector leaves a choice, the choice is asserted.
"""

import pytest

from apmatrix.arch import Apqn, CardFunctions, Facility, ResponseCode
from apmatrix.cards import Handling, Loss, QueueFunction, Request, ScriptedAnswers
from apmatrix.linux.zcrypt import ModExpo
from apmatrix.linux.zcrypt.cprb import StatusError
from support import ep11
from support.messages import vectors
from support.zcrypt import Crypto, Storage, cprb, ep11_cprb, outcome

MV = vectors()
ANYWHERE = 0xFFFF
MODEXPO, CRT, CPRB, EP11 = 0xC0007A05, 0xC0007A06, 0xC0007A81, 0xC0007A04
NOWHERE = 0x10
KEY_A = ModExpo(b"\0\x41", b"\0\x11", b"\x0c\xa1")
LENGTH_B = 16
MODULUS_B = (0xFFFFFFFFFFFFFF720000000000001321).to_bytes(LENGTH_B, "big")
KEY_B = ModExpo(bytes(range(0, 256, 17)), (65537).to_bytes(LENGTH_B, "big"), MODULUS_B)
RESULT_B = bytes.fromhex("92d30644c5e2e4be56d6379040d8a347")
OUTSIDE = Handling(Request(0, b"", special=False))


def altered(message, changes):
    """``message`` with bytes at some offsets replaced."""
    new = bytearray(message)
    for offset, content in changes.items():
        new[offset : offset + len(content)] = content
    return bytes(new)


def log(crypto):
    return [line for line in crypto.system.log.lines() if line.startswith("zcrypt:")]


def status_of(action):
    """What the program finds in ``status`` when the CPRB is refused."""
    with pytest.raises(StatusError) as refused:
        action()
    return refused.value.status


def test_K1_devices_at_boot(crypto):
    assert crypto.sysfs.list("bus/ap/devices") == [
        "02.0006", "02.0033", "05.0006", "05.0033", "0a.0006", "0a.0033", "card02", "card05", "card0a",
    ]  # fmt: skip
    assert crypto.read("bus/ap/bindings") == "6/6 (complete)\n"
    assert crypto.read("bus/ap/ap_domain") == "6\n"


@pytest.mark.parametrize(
    ("card", "functions", "hwtype"),
    [("card02", "-MC-A-N-F-", "13"), ("card05", "S--D--NHF-", "14"), ("card0a", "S----XN-F-", "14")],
)
def test_K2_what_lszcrypt_reads(crypto, card, functions, hwtype):
    def attribute(name):
        return crypto.read(f"bus/ap/devices/{card}/{name}").rstrip("\n")

    assert CardFunctions(int(attribute("ap_functions"), 16)).letters() == functions
    assert attribute("hwtype") == hwtype
    assert attribute("depth") == "8"


def test_K3_a_control_only_domain_is_reached_over_any_queue(crypto):
    crypto.wire.answer(MV["MV-23"])
    crypto.zcrypt.cprb(cprb(0x40, b"T5"))
    (sent,) = crypto.wire.sent
    assert sent.apqn in ("05.0006", "05.0033")
    assert sent.cprbx_domain == Apqn.parse(sent.apqn).domain


def test_K4_a_domain_that_is_neither(crypto):
    fetched, qci = [], crypto.machine.qci

    def fetch(level):
        fetched.append(level)
        return qci(level)

    crypto.machine.qci = fetch
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(0x41, b"T5"))) == "ENODEV"
    assert len(fetched) == 1
    assert not crypto.wire.sent


@pytest.mark.parametrize("domain", [0x40, 6])
def test_K5_an_extra_node_without_the_control_domain(crypto, domain):
    permissions = crypto.permissions(crypto.node(admask="+0x33"))
    scans = crypto.system.ap.scanner.count
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(domain, b"T5"), permissions)) == "ENODEV"
    assert crypto.system.ap.scanner.count == scans + 1
    assert not crypto.wire.sent


def test_K5_with_the_control_domain(crypto):
    permissions = crypto.permissions(crypto.node(admask="+0x40"))
    crypto.wire.answer(MV["MV-23"])
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(0x40, b"T5"), permissions)) == "ok"


def test_K6_an_unknown_function_id(crypto):
    permissions = crypto.permissions(crypto.node())
    assert (
        outcome(lambda: crypto.zcrypt.cprb(cprb(6, b"T9"), permissions)) == "ENOTSUP"
    )  # EOPNOTSUPP, by its other name
    assert not crypto.wire.sent
    crypto.wire.always = MV["MV-23"]
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(ANYWHERE, b"T9"), permissions)) == "ok"
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(6, b"T9"))) == "ok"
    assert len(crypto.wire.sent) == 2


def ioctl(file, number, argument, storage=None):
    return outcome(lambda: file.ioctl(number, argument, storage or Storage()))


def test_K7_an_ioctl_that_the_node_does_not_allow(crypto):
    storage = Storage()
    crypto.node("box")
    crypto.write("class/zcrypt/box/ioctlmask", "-5")
    extra = crypto.system.zcrypt_nodes.open("box")
    assert ioctl(extra, MODEXPO, NOWHERE) == "EPERM"
    assert ioctl(extra, CRT, NOWHERE) == "EFAULT"
    crypto.write("class/zcrypt/box/ioctlmask", "+5")
    assert ioctl(extra, MODEXPO, storage.modexpo(KEY_A.data, KEY_A.exponent, KEY_A.modulus), storage) == "ok"
    extra.close()


def test_K8_usage_request_for_a_control_only_domain(crypto):
    crypto.wire.answer(MV["MV-23"])
    crypto.zcrypt.cprb(cprb(0x40))
    (sent,) = crypto.wire.sent
    assert sent.apqn in ("05.0006", "05.0033")
    assert sent.cprbx_domain in (6, 0x33)


def test_K9_administrative_ep11_request(crypto):
    request = ep11_cprb(((0x0A, ANYWHERE),), flags=0x80, target=0x40)
    crypto.wire.answer(MV["MV-17"])
    crypto.zcrypt.ep11(request)
    (sent,) = crypto.wire.sent
    assert sent.apqn in ("0a.0006", "0a.0033")
    assert sent.message[88 : 88 + len(request.cprb)] == request.cprb


SHORT_80 = altered(MV["MV-2"][:17], {2: b"\0\x11"})


def test_K10_an_accelerator_reply_that_is_too_short(crypto):
    crypto.wire.answer(SHORT_80)
    assert crypto.zcrypt.rsa(KEY_A) == b"\x0a\xe6"
    assert log(crypto) == ["zcrypt: Crypto dev=02.0006 code=0x00 => online=0 rc=EAGAIN"]
    assert (crypto.online("02.0006"), crypto.online("02.0033")) == ("0", "1")
    assert crypto.wire.queues == ["02.0006", "02.0033"]


def test_K10_no_queue_is_left(crypto):
    crypto.wire.always = SHORT_80
    assert outcome(lambda: crypto.zcrypt.rsa(KEY_A)) == "ENODEV"
    assert crypto.wire.queues == ["02.0006", "02.0033"]
    assert (crypto.online("02.0006"), crypto.online("02.0033")) == ("0", "0")


@pytest.mark.parametrize("reply", [MV["MV-2"][:-1], MV["MV-2"] + b"\0"], ids=["K11", "K21"])
def test_K11_K21_a_type_80_length_that_is_not_true(crypto, reply):
    crypto.wire.answer(reply)
    assert outcome(lambda: crypto.zcrypt.rsa(KEY_A)) == "EMSGSIZE"
    assert crypto.online("02.0006") == "1"


@pytest.fixture
def coprocessor(crypto):
    """Machine M with its CCA queues only."""
    crypto.only("05.0006", "05.0033")
    return crypto


@pytest.mark.parametrize("reply", [MV["MV-6"][:-2], MV["MV-6"] + b"\0"], ids=["K12", "K21"])
def test_K12_a_pk_reply_without_its_last_block(coprocessor, reply):
    coprocessor.wire.answer(reply)
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EMSGSIZE"
    assert coprocessor.online("05.0006") == "1"


VERSION_3 = altered(MV["MV-6"], {50: b"\3"})
CODES_8_48 = altered(MV["MV-6"], {192: b"\0\x08\0\x30"})


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        pytest.param(VERSION_3, "unknown response type 0x86 => online=0", id="K13"),
        pytest.param(CODES_8_48, "rc/rs=8/48 online=0", id="K14"),
        pytest.param(altered(MV["MV-19"], {1: b"\x87"}), "unknown response type 0x87 => online=0", id="K20"),
    ],
)
def test_K13_K14_K20_replies_that_retire_the_queue(coprocessor, reply, why):
    coprocessor.wire.answer(reply)
    assert coprocessor.zcrypt.rsa(KEY_B) == RESULT_B
    assert log(coprocessor) == [f"zcrypt: Crypto dev=05.0006 {why} rc=EAGAIN"]
    assert (coprocessor.online("05.0006"), coprocessor.online("05.0033")) == ("0", "1")
    coprocessor.wire.answer(reply)
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "ENODEV"
    assert coprocessor.wire.queues == ["05.0006", "05.0033", "05.0033"]


def test_K13_in_a_cprb(coprocessor):
    coprocessor.wire.answer(VERSION_3)
    assert outcome(lambda: coprocessor.zcrypt.cprb(cprb(data_room=4096))) == "ok"
    assert coprocessor.online("05.0006") == "0"


def test_K15_a_reason_without_a_return_code(coprocessor):
    coprocessor.wire.answer(altered(MV["MV-6"], {194: b"\0\x05"}))
    assert coprocessor.zcrypt.rsa(KEY_B) == RESULT_B


def test_K16_a_rule_array_that_is_too_short(crypto):
    good = crypto.read("bus/ap/devices/card05/serialnr")
    assert len(good) == 9
    short = MV["MV-12"]
    # One byte less of rules: 79, in a reply whose lengths are all consistent.
    short = altered(short, {16: (len(short) - 49).to_bytes(4, "big"), 72: (0x123).to_bytes(4, "big")})
    short = altered(short, {270: b"\0\x51"})
    crypto.wire.answer(short[:351] + short[352:])
    assert crypto.read("bus/ap/devices/card05/serialnr") == "\n"


def test_K17_the_card_forgets_a_request():
    crypto = Crypto(facilities=(Facility.QCI, Facility.APFT, Facility.MSA3))
    crypto.zcrypt.rsa(KEY_A)
    crypto.only("02.0006")
    before = crypto.clock.now()
    crypto.wire.sent.clear()
    crypto.wire.answer(Handling(OUTSIDE.request, loss=Loss.GONE))
    assert crypto.zcrypt.rsa(KEY_A) == b"\x0a\xe6"
    first, second = crypto.wire.sent
    assert first == second
    assert crypto.clock.now() - before < 0.01  # polling, not the 900 seconds of the request's timeout
    crypto.close()


@pytest.mark.parametrize(
    "code",
    [ResponseCode.INVALID_DOMAIN, ResponseCode.MESSAGE_TOO_BIG, ResponseCode.FACILITY_NOT_INSTALLED],
    ids=lambda code: f"{code:02x}",
)
def test_K18_nqap_refuses_a_request(crypto, code):
    crypto.machine.adapters[2].filters.add(ScriptedAnswers(QueueFunction.NQAP, [code]))
    assert outcome(lambda: crypto.zcrypt.rsa(KEY_A)) == "EINVAL"
    assert not crypto.wire.sent
    assert crypto.online("02.0006") == "1"
    assert outcome(lambda: crypto.zcrypt.rsa(KEY_A)) == "ok"


@pytest.mark.parametrize("kind", [0x82, 0x88])
def test_K19_every_try_fails_in_transport(crypto, kind):
    crypto.wire.always = bytes((0, kind, 0, 0, 0x90, 0, 0, 0))
    assert outcome(lambda: crypto.zcrypt.rsa(KEY_A)) == "EIO"
    assert crypto.wire.queues == ["02.0006", "02.0033"] * 5
    assert crypto.online("02.0006") == "1"


@pytest.mark.parametrize("kind", [0x82, 0x88])
@pytest.mark.parametrize("code", [0x24, 0x85, 0x8A])
def test_K20_the_users_errors(coprocessor, kind, code):
    coprocessor.wire.answer(bytes((0, kind, 0, 0, code, 0, 0, 0)))
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EINVAL"
    assert (coprocessor.online("05.0006"), len(coprocessor.wire.sent)) == ("1", 1)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [(((0x0A, 0x40),), []), (((0x0A, 6),), ["0a.0006"]), ((), ["0a.0006"])],
    ids=["no-such-queue", "one-queue", "any"],
)
def test_K22_targets_of_administrative_ep11_requests(crypto, targets, expected):
    request = ep11_cprb(targets, flags=0x80, target=0x40)
    crypto.wire.answer(MV["MV-17"])
    assert outcome(lambda: crypto.zcrypt.ep11(request)) == ("ok" if expected else "ENODEV")
    assert crypto.wire.queues == expected
    assert all(sent.message[88 : 88 + len(request.cprb)] == request.cprb for sent in crypto.wire.sent)


def test_K23_usage_requests_get_the_domain_of_their_queue(crypto):
    reply = crypto.zcrypt.ep11(ep11_cprb(((0x0A, 0x33),), target=0x40))
    (sent,) = crypto.wire.sent
    assert sent.apqn == "0a.0033"
    assert sent.ep11_target == 0x33
    payload = sent.message[88 + 32 :]
    assert payload[4:16] == ep11.string(ep11.word(1 << 16 | 38)) + ep11.string(ep11.word(0x33))
    assert reply[12:16] == ep11.word(0x33)


def test_K24_an_error_reply_to_a_cprb(crypto):
    crypto.wire.answer(MV["MV-19"])
    request = cprb(6)
    assert status_of(lambda: crypto.zcrypt.cprb(request)) == 0x0008044D
    crypto.wire.answer(MV["MV-19"])
    assert outcome(lambda: crypto.zcrypt.cprb(request)) == "EINVAL"


def test_K24_an_application_error_is_the_callers_matter(crypto):
    crypto.wire.answer(MV["MV-23"])
    reply = crypto.zcrypt.cprb(cprb(6))
    assert (reply.cprbx.return_code, reply.cprbx.reason_code) == (8, 66)
    assert crypto.online("05.0006") == "1"


def test_K24_a_control_block_at_another_place(crypto):
    crypto.wire.answer(altered(MV["MV-23"], {20: (0x38).to_bytes(4, "big")}))
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(6))) == "EMSGSIZE"


def test_K25_extra_nodes(crypto):
    assert crypto.write("class/zcrypt/create", "box\n") == "ok"
    for mask in ("ioctlmask", "apmask", "aqmask", "admask"):
        assert crypto.read(f"class/zcrypt/box/{mask}") == "0x" + "0" * 64 + "\n"
        assert crypto.sysfs.stat(f"devices/virtual/zcrypt/box/{mask}").mode == 0o644
    node = crypto.system.zcrypt_nodes.nodes["box"]
    assert node.mode == 0o600
    assert crypto.write("class/zcrypt/create", "box\n") == "EEXIST"
    assert crypto.write("class/zcrypt/destroy", "box\n") == "ok"
    assert crypto.write("class/zcrypt/destroy", "box\n") == "ENOENT"


def test_K25_a_fresh_node_allows_nothing(crypto):
    assert crypto.write("class/zcrypt/create", "fresh") == "ok"
    fresh = crypto.system.zcrypt_nodes.open("fresh")
    for number in (MODEXPO, CRT, CPRB, EP11, 0xC0007A5F, 0x80047A47, 0xC0007A07):
        assert ioctl(fresh, number, NOWHERE) == "EPERM"
    fresh.close()


def test_MV21_behind_a_short_reply_lies_the_one_before(coprocessor):
    """hardware.md 3.5: without a control block, what Linux says depends on the reply before."""
    coprocessor.only("05.0006")
    coprocessor.wire.always = MV["MV-21"]
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EIO"
    assert status_of(lambda: coprocessor.zcrypt.cprb(cprb(6))) == 0
    coprocessor.wire.answer(None)
    coprocessor.zcrypt.rsa(KEY_B)
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EMSGSIZE"
    assert status_of(lambda: coprocessor.zcrypt.cprb(cprb(6))) == 0x4D


def test_MV22_a_hypervisor_filters_the_command(coprocessor):
    coprocessor.only("05.0006")
    coprocessor.wire.always = MV["MV-22"]
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EINVAL"
    coprocessor.wire.answer(None)
    coprocessor.zcrypt.rsa(KEY_B)
    assert outcome(lambda: coprocessor.zcrypt.rsa(KEY_B)) == "EMSGSIZE"


@pytest.mark.parametrize(("code", "expected"), [(0x90, "EIO"), (0x8B, "EINVAL")])
def test_MV23_with_a_reply_code_always_brings_the_status(coprocessor, code, expected):
    coprocessor.wire.always = altered(MV["MV-23"], {4: bytes((code,)), 12: b"\0\0\0\x4d"})
    assert outcome(lambda: coprocessor.zcrypt.cprb(cprb(6))) == expected
    assert status_of(lambda: coprocessor.zcrypt.cprb(cprb(6))) == 0x4D
