"""Master keys by administrative commands, seen through FQ and domain queries (hardware.md section 6)."""

import hashlib
import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apmatrix.arch import KeySet, Mask, ResponseCode
from apmatrix.cards import Request
from apmatrix.cards.masterkeys import KeyRegisters, MasterKeyError, NewState
from support import cca, ep11
from support.queues import exchange, make_adapter

SIZES = {b"AES": (32, 8), b"APKA": (32, 8), b"ASYM": (24, 16)}
# key set: keyword, first rule element, offsets of the old, current and new pattern (hardware.md 4.2)
SHOWN = {
    b"ASYM": (b"STATICSA", 4, 64, 84, 104),
    b"AES": (b"STATICSA", 7, 172, 184, 196),
    b"APKA": (b"STATICSB", 10, 208, 220, 232),
}


def pattern(key, size):
    return hashlib.sha256(b"\x01" + key).digest()[:size]


def shown(adapter, key_set, domain=6):
    """What Linux' mkvps shows: (state, pattern) of new, current, old."""
    keyword, element, old, current, new = SHOWN[key_set]
    reply = cca.facility(adapter, keyword, domain)
    states = reply.rules[8 * element : 8 * (element + 3)].split()
    size = SIZES[key_set][1]
    patterns = [reply.vud[offset : offset + size] for offset in (new, current, old)]
    return list(zip([state.decode() for state in states], patterns, strict=True))


@pytest.mark.parametrize("key_set", SIZES)
def test_life_of_a_key_set(key_set):
    size, pattern_size = SIZES[key_set]
    adapter = make_adapter()
    empty = bytes(pattern_size)
    parts = [bytes([number]) * size for number in (1, 2, 4)]
    assert shown(adapter, key_set) == [("1", empty), ("1", empty), ("1", empty)]
    cca.master_key(adapter, b"LOAD-FST", key_set, parts[0])
    assert shown(adapter, key_set) == [("2", empty), ("1", empty), ("1", empty)]
    cca.master_key(adapter, b"LOAD-MID", key_set, parts[1])
    reply = cca.master_key(adapter, b"LOAD-LST", key_set, parts[2])
    first = pattern(bytes([7]) * size, pattern_size)
    assert reply.rules.split() == [b"3", b"1", b"1"]
    assert reply.vud == first + 2 * empty
    assert shown(adapter, key_set) == [("3", first), ("1", empty), ("1", empty)]
    assert cca.master_key(adapter, b"SET", key_set).codes == (0, 0)
    assert shown(adapter, key_set) == [("1", empty), ("2", first), ("1", empty)]
    cca.set_master_key(adapter, key_set, seed=9)
    second = shown(adapter, key_set)[1][1]
    assert second not in (first, empty)
    assert shown(adapter, key_set) == [("1", empty), ("2", second), ("2", first)]
    others = [other for other in SIZES if other != key_set]
    assert all(shown(adapter, other)[1][0] == "1" for other in others)
    assert shown(adapter, key_set, domain=7) == [("1", empty)] * 3


@pytest.mark.parametrize(
    ("before", "action"),
    [
        ([], b"LOAD-MID"),
        ([], b"LOAD-LST"),
        ([], b"SET"),
        ([b"LOAD-FST"], b"LOAD-FST"),
        ([b"LOAD-FST"], b"SET"),
        ([b"LOAD-FST", b"LOAD-LST"], b"LOAD-MID"),
        ([b"LOAD-FST", b"LOAD-LST"], b"LOAD-FST"),
    ],
)
def test_command_out_of_order_is_refused_and_changes_nothing(before, action):
    adapter = make_adapter()
    for step in before:
        assert cca.master_key(adapter, step, b"AES", bytes(32)).codes == (0, 0)
    state = shown(adapter, b"AES")
    assert cca.master_key(adapter, action, b"AES", bytes(32)).codes == (8, 703)
    assert shown(adapter, b"AES") == state


@pytest.mark.parametrize(
    ("action", "key_set", "data", "codes"),
    [
        (b"LOAD-FST", b"AES", bytes(31), (8, 703)),
        (b"LOAD-FST", b"WK", bytes(32), (8, 33)),
        (b"NONSENSE", b"AES", bytes(32), (8, 33)),
        (b"SET", None, b"", (8, 33)),
    ],
)
def test_malformed_command(action, key_set, data, codes):
    adapter = make_adapter()
    assert cca.master_key(adapter, action, key_set, data).codes == codes
    assert shown(adapter, b"AES")[0][0] == "1"


def test_clear_empties_the_new_register_only():
    adapter = make_adapter()
    cca.set_master_key(adapter)
    current = shown(adapter, b"AES")[1]
    cca.master_key(adapter, b"LOAD-FST", b"AES", bytes(32))
    assert cca.master_key(adapter, b"CLEAR", b"AES").codes == (0, 0)
    assert shown(adapter, b"AES")[:2] == [("1", bytes(8)), current]


def test_zapq_keeps_master_keys_and_zeroize_does_not():
    adapter = make_adapter()
    for domain in (6, 7):
        cca.set_master_key(adapter, domain=domain)
    adapter.queue(6).reset(zeroize=True)
    assert shown(adapter, b"AES")[1][0] == "2"
    assert cca.master_key(adapter, b"ZERO-DOM").codes == (0, 0)
    assert shown(adapter, b"AES")[1][0] == "1"
    assert shown(adapter, b"AES", 7)[1][0] == "2"


def test_zeroizing_the_card_needs_all_domains_that_hold_keys():
    adapter = make_adapter()
    for domain in (6, 7):
        cca.set_master_key(adapter, domain=domain)
    assert cca.master_key(adapter, b"ZERO-CRD", control_domains=(6,)).codes == (8, 90)
    assert shown(adapter, b"AES")[1][0] == "2"
    assert cca.master_key(adapter, b"ZERO-CRD", control_domains=(6, 7)).codes == (0, 0)
    assert [shown(adapter, b"AES", domain)[1][0] for domain in (6, 7)] == ["1", "1"]


def test_a_domain_whose_registers_were_cleared_holds_no_keys():
    adapter = make_adapter()
    cca.set_master_key(adapter)
    cca.master_key(adapter, b"LOAD-FST", b"AES", bytes(32), domain=7)
    assert cca.master_key(adapter, b"ZERO-CRD", control_domains=(6,)).codes == (8, 90)
    cca.master_key(adapter, b"CLEAR", b"AES", domain=7)
    assert cca.master_key(adapter, b"ZERO-CRD", control_domains=(6,)).codes == (0, 0)
    assert shown(adapter, b"AES")[1][0] == "1"


class TestControlDomains:
    """A change happens only to a control domain of the sender, whatever way the command takes."""

    def message(self, cprbx_domain, target, function_id=b"T5"):
        vud = target.to_bytes(2, "big") + bytes(32)
        return cca.request(cca.parameters(b"MK", [b"LOAD-FST", b"AES"], vud), cprbx_domain, function_id=function_id)

    def loaded(self, adapter):
        return [d for d in range(256) if adapter.context.keyring.registers(d, KeySet.AES).new]

    @pytest.mark.parametrize("cprbx_domain", [6, 0x40], ids=["Linux 7.2", "Linux 6.1"])
    def test_control_only_domain(self, cprbx_domain):
        adapter = make_adapter()
        message = self.message(cprbx_domain, 0x40)
        reply = cca.Reply(exchange(adapter, message, 6, control_domains=(0x40,)))
        assert reply.codes == (0, 0)
        assert self.loaded(adapter) == [0x40]

    @pytest.mark.parametrize(
        ("cprbx_domain", "target", "allowed"),
        [
            (6, 6, ()),  # a usage domain alone is not enough
            (6, 0x40, (6,)),
            (0x40, 6, (0x40,)),  # the CPRBX must not lend its permission to another target
            (0x41, 0x40, (0x40, 0x41)),
            (6, 0x140, (0x40,)),
        ],
    )
    @pytest.mark.parametrize("rc8a", [False, True])
    def test_others_are_rejected_and_nothing_changes(self, cprbx_domain, target, allowed, rc8a):
        adapter = make_adapter()
        message = self.message(cprbx_domain, target)
        queue = adapter.queue(6)
        status = queue.enqueue(Request(1, message, control_domains=Mask.of(*allowed), rc8a=rc8a))
        if rc8a:
            assert status.ok
            assert queue.dequeue(12288).data[4] == 0x8A
        else:
            assert status.response_code is ResponseCode.INVALID_DOMAIN
        assert self.loaded(adapter) == []

    def test_usage_function_id_gives_no_access(self):
        adapter = make_adapter()
        reply = cca.Reply(exchange(adapter, self.message(6, 6, b"T2"), 6, control_domains=(6,)))
        assert reply.codes == (8, 32)
        assert self.loaded(adapter) == []

    def test_card_checks_again(self):
        """Even a message that came past NQAP's check changes nothing."""
        adapter = make_adapter()
        request = Request(1, self.message(6, 6))
        reply = cca.Reply(adapter.firmware.process(6, request))
        assert reply.codes == (8, 90)
        assert self.loaded(adapter) == []

    def test_ep11(self):
        adapter = make_adapter("CEX8P")
        key = bytes(range(32))
        assert ep11.administer(adapter, b"IMPORT", key, 0x40).value == 0
        message = ep11.request(41, (b"IMPORT", key), 6, flags=0x80)
        status = adapter.queue(6).enqueue(Request(1, message, control_domains=Mask.of(0x40)))
        assert status.response_code is ResponseCode.INVALID_DOMAIN
        # the target of the control block must not lend its permission to another domain string
        message = ep11.request(41, (b"IMPORT", key), 6, flags=0x80, target=0x40)
        reply = ep11.Reply(exchange(adapter, message, 6, control_domains=(0x40,)))
        assert reply.value == 7
        assert adapter.context.keyring.registers(6, KeySet.WK).new is None
        # even a message that came past NQAP's check changes nothing
        message = ep11.request(41, (b"IMPORT", key), 6, flags=0x80)
        assert ep11.Reply(adapter.firmware.process(6, Request(1, message))).value == 7
        assert adapter.context.keyring.registers(6, KeySet.WK).new is None
        # without flag 80 there is no administration
        message = ep11.request(41, (b"IMPORT", key), 6)
        assert ep11.Reply(exchange(adapter, message, 6, control_domains=(6,))).value == 0x54


def domain_info(adapter, domain=6):
    data = ep11.call(adapter, 38, (ep11.word(3), ep11.word(0)), domain).data
    assert len(data) == 80
    return int.from_bytes(data[68:72], "big"), data[4:36], data[36:68]


def test_life_of_a_wrapping_key():
    adapter = make_adapter("CEX8P")
    key = bytes(range(32))
    shown_pattern, empty = pattern(key, 32), bytes(32)
    assert domain_info(adapter) == (0x10, empty, empty)
    assert ep11.administer(adapter, b"COMMIT").value == 0x80010014
    assert ep11.administer(adapter, b"IMPORT", key).value == 0
    assert domain_info(adapter) == (0x14, empty, shown_pattern)
    assert ep11.administer(adapter, b"FINALIZE").value == 0x80010014
    assert ep11.administer(adapter, b"COMMIT").value == 0
    assert domain_info(adapter) == (0x1C, empty, shown_pattern)
    reply = ep11.administer(adapter, b"FINALIZE")
    assert reply.value == 0
    assert domain_info(adapter) == (0x12, shown_pattern, empty)
    assert reply.data[68:72] == (0x12).to_bytes(4, "big")
    ep11.administer(adapter, b"IMPORT", bytes(32))
    assert ep11.administer(adapter, b"CLEAR").value == 0
    assert domain_info(adapter) == (0x12, shown_pattern, empty)
    assert ep11.administer(adapter, b"ZERO-DOM").value == 0
    assert domain_info(adapter) == (0x10, empty, empty)


class MasterKeyModel(RuleBasedStateMachine):
    """KeyRegisters against a model that keeps plain values."""

    def __init__(self):
        super().__init__()
        self.registers = KeyRegisters(KeySet.AES)
        self.state, self.new, self.current, self.old = NewState.EMPTY, None, None, None

    def attempt(self, allowed, transition):
        try:
            changed = transition(self.registers)
        except MasterKeyError:
            assert not allowed
            return False
        assert allowed
        self.registers = changed
        return True

    @rule(
        part=st.binary(min_size=32, max_size=32) | st.binary(min_size=31, max_size=33),
        step=st.sampled_from(("load_first", "load_middle", "load_last")),
    )
    def load(self, part, step):
        needed = NewState.EMPTY if step == "load_first" else NewState.PARTIAL
        allowed = self.state is needed and len(part) == 32
        if self.attempt(allowed, lambda registers: getattr(registers, step)(part)):
            before = self.new or bytes(32)
            self.new = bytes(a ^ b for a, b in zip(part, before, strict=True))
            self.state = NewState.FULL if step == "load_last" else NewState.PARTIAL

    @rule()
    def clear(self):
        self.attempt(True, lambda registers: registers.clear())
        self.state, self.new = NewState.EMPTY, None

    @rule()
    def set(self):
        if self.attempt(self.state is NewState.FULL, lambda registers: registers.set()):
            self.old, self.current, self.new, self.state = self.current, self.new, None, NewState.EMPTY

    @invariant()
    def registers_are_the_model(self):
        keys = [register and register.key for register in self.contents()]
        assert keys == [self.new, self.current, self.old]
        assert self.registers.new_state is self.state
        for register in filter(None, self.contents()):
            assert register.pattern == pattern(register.key, 8)
        for register in itertools.chain(self.contents(), [self.registers]):
            assert not any(key and (key.hex() in repr(register) or repr(key) in repr(register)) for key in keys)

    def contents(self):
        return self.registers.new, self.registers.current, self.registers.old


TestMasterKeyModel = MasterKeyModel.TestCase
