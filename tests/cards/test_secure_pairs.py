"""Private keys under the APKA and ASYM master keys: made, used, and bound to their domain and to their token."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from support import cca
from support.cca import decrypt, rsa_skeleton, sign
from support.cca import generate_pair as pair
from support.cca import unwrap_cipher as export
from support.queues import make_adapter

CURVES = {
    "P-256": (0, 256, ec.SECP256R1()),
    "P-521": (0, 521, ec.SECP521R1()),
    "BP-384": (1, 384, ec.BrainpoolP384R1()),
}
DIGEST = hashlib.sha256(b"apmatrix").digest()
INTERNAL = b"\x1f"


@pytest.fixture
def adapter():
    made = make_adapter()
    for domain in (6, 7):
        for key_set in (b"APKA", b"ASYM"):
            cca.set_master_key(made, key_set, seed=domain, domain=domain)
    return made


def made(adapter, skeleton, domain=6, rule=b"MASTER"):
    return cca.token(pair(adapter, skeleton, domain, rule))


def curve_skeleton(usage=0xC0, curve_type=0, bits=256):
    return cca.clear_ec_token(curve_type, bits, usage=usage)


def public_point(token, size):
    section = token[8 + int.from_bytes(token[10:12], "big") :]
    assert section[0] == 0x21
    return section[14 : 15 + 2 * size]


@pytest.mark.parametrize(("curve_type", "bits", "curve"), CURVES.values(), ids=CURVES)
def test_a_secure_curve_key_signs_and_agrees(adapter, curve_type, bits, curve):
    size = (bits + 7) // 8
    token = made(adapter, curve_skeleton(curve_type=curve_type, bits=bits))
    assert (token[:1], token[8 + 10]) == (INTERNAL, 0x08)
    registers = cca.facility(adapter, b"STATICSB")
    assert token[8 + 16 : 8 + 24] == registers.vud[220:228]  # where pkey looks for the pattern of the APKA key
    assert token[8 + 4 : 8 + 6] == b"\x01\x02"
    point = public_point(token, size)
    public = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    signature = sign(adapter, token, DIGEST).vud[6:]
    r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
    public.verify(encode_dss_signature(r, s), DIGEST, ec.ECDSA(Prehashed(hashes.SHA256())))
    agreed = cca.call(adapter, cca.parameters(b"DH", [b"PASSTHRU"], b"", cca.part(0, token)))
    assert agreed.codes == (0, 0)
    assert len(agreed.keys) == 4 + size
    assert sign(adapter, token, domain=7).codes == (8, 48)


@pytest.mark.parametrize("bits", [256, 521])
def test_a_secure_curve_key_becomes_a_protected_key_if_it_may(adapter, bits):
    token = made(adapter, curve_skeleton(usage=0xC1, bits=bits))
    block = export(adapter, token).message[48 + 230 :]
    assert (block[0], block[3]) == (2, 0x81)
    protected = block[10 : 10 + int.from_bytes(block[8:10], "big")]
    secret = adapter.context.wrapping_key.unwrap(protected)
    assert len(secret) == {256: 32, 521: 80}[bits]
    curve = ec.SECP256R1() if bits == 256 else ec.SECP521R1()
    numbers = ec.derive_private_key(int.from_bytes(secret, "big"), curve).public_key().public_numbers()
    size = (bits + 7) // 8
    assert public_point(token, size)[1:] == numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
    assert export(adapter, made(adapter, curve_skeleton(usage=0xC0, bits=bits))).codes == (8, 2143)
    assert export(adapter, made(adapter, curve_skeleton(0xC1, 1, 384))).codes == (8, 2143)


@pytest.mark.parametrize("length", [128, 256])
def test_a_secure_rsa_key_decrypts(adapter, length):
    token = made(adapter, rsa_skeleton(length))
    assert (token[:1], token[8 + 28]) == (INTERNAL, 0x08)
    registers = cca.facility(adapter, b"STATICSA")
    assert token[8 + 76 : 8 + 92] == registers.vud[84:100]
    modulus = int.from_bytes(token[-length:], "big")
    assert token[-length - 3 : -length] == b"\x01\0\x01"
    value = 3**77
    reply = decrypt(adapter, token, pow(value, 65537, modulus), length)
    assert (reply.codes, int.from_bytes(reply.vud, "big")) == ((0, 0), value)
    assert decrypt(adapter, token, 1, length, domain=7).codes == (8, 48)


def test_a_clear_rsa_pair_needs_no_master_key():
    adapter = make_adapter()
    token = made(adapter, rsa_skeleton(128), rule=b"CLEAR")
    assert (token[:1], token[8 + 28]) == (b"\x1e", 0x40)
    modulus = int.from_bytes(token[-128:], "big")
    assert int.from_bytes(decrypt(adapter, token, pow(5, 65537, modulus), 128).vud, "big") == 5


@pytest.mark.parametrize(
    ("key_set", "skeleton", "use"),
    [
        (b"APKA", curve_skeleton(), sign),
        (b"APKA", curve_skeleton(0xC1), export),
        (b"ASYM", rsa_skeleton(128), lambda adapter, token: decrypt(adapter, token, 1, 128)),
    ],
    ids=["SG", "AU", "PD"],
)
def test_a_private_key_lives_as_long_as_its_master_key(key_set, skeleton, use):
    adapter = make_adapter()
    assert pair(adapter, skeleton).codes == (12, 764)
    cca.set_master_key(adapter, key_set, seed=1)
    token = made(adapter, skeleton)
    assert use(adapter, token).codes == (0, 0)
    cca.set_master_key(adapter, key_set, seed=2)
    assert use(adapter, token).codes == (0, 0)  # the old register has the key
    cca.set_master_key(adapter, key_set, seed=3)
    assert use(adapter, token).codes == (8, 48)


@pytest.mark.parametrize(
    ("skeleton", "use"),
    [
        (curve_skeleton(0xC1), export),
        (curve_skeleton(0xC1), sign),
        (rsa_skeleton(128), lambda adapter, token: decrypt(adapter, token, 1, 128)),
    ],
    ids=["AU", "SG", "PD"],
)
def test_no_byte_of_a_token_can_be_changed(adapter, skeleton, use):
    """Not the usage, not the public key beside it; only the token's length and reserved bytes are left out."""
    token = made(adapter, skeleton)
    for offset in (0, *range(8, len(token))):
        changed = bytearray(token)
        changed[offset] ^= 0x01
        assert use(adapter, bytes(changed)).codes != (0, 0), offset


def test_what_pg_refuses(adapter):
    assert pair(adapter, curve_skeleton(), rule=b"RETAIN").codes == (8, 33)
    assert pair(adapter, rsa_skeleton(100)).codes == (8, 72)
    assert pair(adapter, b"\x1e\0\0\x08" + bytes(4)).codes == (8, 65)
    assert pair(adapter, curve_skeleton(bits=255)).codes == (8, 39)


@pytest.mark.parametrize(
    ("skeleton", "place", "use"),
    [
        (curve_skeleton(), slice(24, 32), sign),
        (rsa_skeleton(128), slice(84, 100), lambda adapter, token, domain: decrypt(adapter, token, 1, 128, domain)),
    ],
    ids=["APKA", "ASYM"],
)
def test_a_forged_pattern_does_not_open_another_domains_key(adapter, skeleton, place, use):
    foreign, own = (made(adapter, skeleton, domain) for domain in (6, 7))
    forged = foreign[: place.start] + own[place] + foreign[place.stop :]
    assert use(adapter, own, domain=7).codes == (0, 0)
    assert use(adapter, forged, domain=7).codes == (8, 65)
