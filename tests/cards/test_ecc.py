"""DH, SG, SV and PG with the tokens that libica builds (hardware.md 4.6)."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

from support.cca import block, call, parameters, part, short
from support.ecc import private_section, public_section, token
from support.queues import make_adapter

CURVES = {
    "P-192": (0, 192, ec.SECP192R1()),
    "P-224": (0, 224, ec.SECP224R1()),
    "P-256": (0, 256, ec.SECP256R1()),
    "P-384": (0, 384, ec.SECP384R1()),
    "P-521": (0, 521, ec.SECP521R1()),
    "BP-256": (1, 256, ec.BrainpoolP256R1()),
    "BP-384": (1, 384, ec.BrainpoolP384R1()),
    "BP-512": (1, 512, ec.BrainpoolP512R1()),
}
curves = pytest.mark.parametrize(("curve_type", "bits", "curve"), CURVES.values(), ids=CURVES)


def coordinates(numbers, bits):
    size = (bits + 7) // 8
    return numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


def sections(curve_type, bits, private, public=None):
    numbers = private.private_numbers()
    secret = numbers.private_value.to_bytes((bits + 7) // 8, "big")
    point = coordinates((public or private.public_key()).public_numbers(), bits)
    return private_section(curve_type, bits, secret), public_section(curve_type, bits, b"\x04" + point)


@curves
def test_key_agreement(curve_type, bits, curve):
    own, other = (ec.generate_private_key(curve) for _ in range(2))
    key = part(0, token(*sections(curve_type, bits, own, other.public_key())))
    null = block(bytes(66))
    vud = bytes.fromhex("000400910006009300000004009000040092")
    reply = call(make_adapter(), parameters(b"DH", [b"PASSTHRU"], vud, key + null + key + 3 * null))
    assert reply.codes == (0, 0)
    size = (bits + 7) // 8
    message = reply.message[48:]  # the offsets of libica's ECDH_REPLY
    assert message[220:222] == b"DH"
    assert message[240:242] == short(size + 4)
    assert message[244 : 244 + size] == own.exchange(ec.ECDH(), other.public_key())


@curves
@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA512()], ids=lambda a: a.name)
def test_signature_there_and_back(curve_type, bits, curve, algorithm):
    key = ec.generate_private_key(curve)
    digest = hashlib.new(algorithm.name, b"apmatrix").digest()
    private, public = sections(curve_type, bits, key)
    reply = call(make_adapter(), parameters(b"SG", [b"ECDSA"], block(digest), part(0x20, token(private, public))))
    size = (bits + 7) // 8
    message = reply.message[48:]  # the offsets of libica's ECDSA_SIGN_REPLY
    assert int.from_bytes(message[224:226], "big") - 8 == 2 * size
    signature = message[232 : 232 + 2 * size]
    r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
    key.public_key().verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(algorithm)))

    def verify(signed, given):
        vud = block(signed) + block(given)
        return call(make_adapter(), parameters(b"SV", [b"ECDSA"], vud, part(0, token(public)))).codes

    assert verify(digest, signature) == (0, 0)
    assert verify(bytes(len(digest)), signature) == (4, 429)
    assert verify(digest, bytes((signature[0] ^ 1,)) + signature[1:]) == (4, 429)
    assert verify(digest, bytes(2 * size)) == (4, 429)
    assert verify(digest, signature[:-1]) == (8, 72)


@curves
def test_generated_key_pair(curve_type, bits, curve):
    skeleton = part(0x20, token(private_section(curve_type, bits, b""), public_section(curve_type, bits, b"")))
    reply = call(make_adapter(), parameters(b"PG", [b"CLEAR"], b"", skeleton + bytes.fromhex("0005001000")))
    assert reply.codes == (0, 0)
    size = (bits + 7) // 8
    private = reply.message[48 + 220 + 2 + 2 + 2 + 2 + 4 + 8 :]  # libica's ECKEYGEN_REPLY: eckey.privsec
    assert private[0] == 0x20
    assert private[74:76] == short(size)
    secret = int.from_bytes(private[92 : 92 + size], "big")
    public = private[int.from_bytes(private[2:4], "big") :]
    assert (public[0], public[14]) == (0x21, 4)
    expected = ec.derive_private_key(secret, curve).public_key().public_numbers()
    assert public[15 : 15 + 2 * size] == coordinates(expected, bits)


def test_refused_keys():
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = sections(0, 256, key)
    adapter = make_adapter()

    def derive(*parts):
        return call(adapter, parameters(b"DH", [b"PASSTHRU"], b"", part(0, token(*parts)))).codes

    assert derive(private, public) == (0, 0)
    assert derive(private) == (8, 65)
    assert derive(public) == (8, 65)
    assert derive(private, public[:14] + b"\x02" + public[15:]) == (8, 65)
    assert derive(private, public[:-1] + bytes((public[-1] ^ 1,))) == (8, 66)
    assert derive(private[:92] + bytes(32), public) == (8, 66)
    assert derive(private[:92] + b"\xff" * 32, public) == (8, 66)
    assert derive(private[:13] + b"\x99" + private[14:], public) == (8, 65)
    unknown = private_section(1, 161, bytes(20) + b"\x01"), public_section(1, 161, b"\x04" + bytes(42))
    assert derive(*unknown) == (8, 39)
    assert derive(private, sections(1, 256, ec.generate_private_key(ec.BrainpoolP256R1()))[1]) == (8, 39)
    sealed = bytearray(private)
    sealed[10] = 0x08
    assert derive(bytes(sealed), public) == (8, 65)
    for digest in (b"", bytes(31)):
        reply = call(adapter, parameters(b"SG", [b"ECDSA"], block(digest), part(0, token(private))))
        assert reply.codes == (8, 72)
