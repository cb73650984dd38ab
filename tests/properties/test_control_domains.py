"""A master key changes only where every level above and the sender's own masks have the control domain."""

from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import Apqn, CardType, CrycbFormat, KeySet, Mask, Matrix
from apmatrix.cards import Inline, ManualClock
from apmatrix.machine import ActivationProfile, Cpc
from support import cca, ep11

QUEUE = 6
DOMAINS = range(4, 10)
domains = st.sampled_from(DOMAINS)
controls = st.frozensets(domains, max_size=3).map(lambda left_out: frozenset(DOMAINS) - left_out)
senders = st.integers(0, 2)


def levels(machine, masks):
    """An LPAR, its guest and the guest's guest, each with the control domains of ``masks``."""
    adapters, usage = Mask.of(5, 6), Mask.of(QUEUE)
    first = machine.add_lpar(ActivationProfile("lpar", Matrix(adapters, usage, Mask.of(*masks[0])))).level
    found = [first]
    for name, mask in zip(("guest", "nested"), masks[1:], strict=True):
        found.append(found[-1].child(name, CrycbFormat.FORMAT_2))
        found[-1].set_matrix(Matrix(adapters, usage, Mask.of(*mask)))
    return found


def load_cca(target, in_control_block, function_id):
    vud = target.to_bytes(2, "big") + bytes(32)
    block = cca.parameters(b"MK", [b"LOAD-FST", b"AES"], vud)
    return cca.request(block, in_control_block, function_id=function_id)


def load_ep11(target, in_control_block, flags):
    return ep11.request(41, (b"IMPORT", bytes(32)), target, flags=flags, target=in_control_block)


@given(
    masks=st.tuples(controls, controls, controls),
    sender=senders,
    target=domains,
    stray=st.one_of(st.none(), domains),
    administrative=st.booleans(),
    rc8a=st.booleans(),
)
def test_change_needs_the_effective_control_domain(masks, sender, target, stray, administrative, rc8a):
    features = ("APSC", "APXA", "RC8A") if rc8a else ("APSC", "APXA")
    machine = Cpc(clock=ManualClock(), features=features)
    cards = {
        number: machine.add_adapter(number, CardType.parse(card)) for number, card in ((5, "CEX8C"), (6, "CEX8P"))
    }
    for card in cards.values():
        card.workers = Inline()
    level = levels(machine, masks)[sender]
    allowed = frozenset.intersection(*masks[: sender + 1])
    in_control_block = target if stray is None else stray
    messages = {
        5: load_cca(target, in_control_block, b"T5" if administrative else b"T2"),
        6: load_ep11(target, in_control_block, 0x80 if administrative else 0),
    }
    for number, message in messages.items():
        machine.port(level, Apqn(number, QUEUE)).nqap(1, message)
        consistent = in_control_block == target or (number == 5 and in_control_block == QUEUE)
        expected = [target] if administrative and target in allowed and consistent else []
        keyring = cards[number].context.keyring
        sets = (KeySet.AES, KeySet.WK)
        changed = [domain for domain in DOMAINS if any(keyring.registers(domain, key_set).new for key_set in sets)]
        assert changed == expected
    machine.close()
