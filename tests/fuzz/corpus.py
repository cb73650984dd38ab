"""Good requests of every kind, for the fuzzer to spoil."""

from apmatrix.cards.recording import Recorder
from support import cca, ep11
from support.messages import vectors
from support.queues import make_adapter

REQUEST_VECTORS = ("MV-1", "MV-3", "MV-5", "MV-7", "MV-9", "MV-11", "MV-14", "MV-16")


def cca_card():
    adapter = make_adapter("CEX8C")
    cca.set_master_key(adapter)
    cca.set_master_key(adapter, b"AES", seed=2, domain=7)
    for key_set in (b"APKA", b"ASYM"):
        cca.set_master_key(adapter, key_set)
    return adapter


def ep11_card():
    adapter = make_adapter("CEX8P")
    ep11.set_wrapping_key(adapter, bytes(range(32)))
    ep11.set_wrapping_key(adapter, bytes(32), domain=7)
    return adapter


def accelerator():
    return make_adapter("CEX7A")


def requests():
    """All messages of the corpus, valid for the cards of this module."""
    taken = []
    cards = [cca_card(), ep11_card()]
    for card in cards:
        card.filters.add(Recorder(lambda exchange: taken.append(exchange.message)))
    _use_cca(cards[0])
    _use_ep11(cards[1])
    return list(dict.fromkeys([*(vectors()[name] for name in REQUEST_VECTORS), *taken]))


def _use_cca(card):
    data, cipher = cca.token(cca.generate_data(card)), cca.token(cca.generate_cipher(card))
    cca.import_clear(card, bytes(range(16)))
    cca.unwrap_data(card, data)
    cca.unwrap_cipher(card, cipher)
    part = cca.token(cca.import_part(card, [b"FIRST", b"MIN3PART"], bytes(32), cca.skeleton()))
    cca.import_part(card, [b"ADD-PART"], bytes(32), part)
    cca.import_part(card, [b"COMPLETE"], b"", part)
    for keyword in (b"STATICSA", b"STATICSB", b"STATCCA", b"STATCRD2"):
        cca.facility(card, keyword)
    for action in (b"LOAD-FST", b"LOAD-MID", b"LOAD-LST", b"QUERY", b"CLEAR"):
        cca.master_key(card, action, b"APKA", bytes(32))
    cca.master_key(card, b"ZERO-CRD")
    _use_curves(card)


def _use_curves(card):
    skeleton = cca.clear_ec_token(0, 256)
    pair = cca.token(cca.call(card, cca.parameters(b"PG", [b"CLEAR"], b"", cca.part(0x20, skeleton))))
    key = cca.part(0x20, pair)
    cca.call(card, cca.parameters(b"DH", [b"PASSTHRU"], b"", key + key))
    signed = cca.call(card, cca.parameters(b"SG", [b"ECDSA"], cca.block(bytes(32)), key))
    vud = cca.block(bytes(32)) + cca.block(signed.vud[6:])
    assert cca.call(card, cca.parameters(b"SV", [b"ECDSA"], vud, key)).codes == (0, 0)
    secure = cca.token(cca.generate_pair(card, cca.clear_ec_token(0, 256, usage=0xC1)))
    assert cca.sign(card, secure).codes == cca.unwrap_cipher(card, secure).codes == (0, 0)
    assert cca.decrypt(card, cca.token(cca.generate_pair(card, cca.rsa_skeleton(128))), 1, 128).codes == (0, 0)


def _use_ep11(card):
    blob = ep11.generate(card).data
    secret = ep11.encrypt(card, blob, bytes(32)).data
    ep11.decrypt(card, blob, secret)
    ep11.unwrap(card, blob, secret)
    ep11.protect(card, blob)
    for kind in (1, 3):
        ep11.call(card, 38, (ep11.word(kind), ep11.word(0)))
    ep11.administer(card, b"QUERY")


CARDS = {"accelerator": accelerator, "CCA": cca_card, "EP11": ep11_card}
