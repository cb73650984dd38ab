"""The Brainpool curves that cryptography lacks, checked against OpenSSL's command."""

import hashlib
import shutil
import subprocess

import pytest
from ecdsa import SigningKey, VerifyingKey, curves
from ecdsa.util import sigdecode_der, sigdecode_string, sigencode_der

from support.cca import block, call, parameters, part, short
from support.ecc import private_section, public_section, token
from support.queues import make_adapter

CURVES = {bits: getattr(curves, f"BRAINPOOLP{bits}r1") for bits in (160, 192, 224, 320)}
rare = pytest.mark.parametrize("bits", CURVES)


def openssl(*words, data=b""):
    done = subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def known(bits):
    if not shutil.which("openssl"):
        pytest.skip("the command openssl is missing")
    if f"brainpoolP{bits}r1" not in openssl("ecparam", "-list_curves").decode():
        pytest.skip(f"this openssl has no brainpoolP{bits}r1")


def keys(bits, own, other):
    """A token with a private key and the point of another one."""
    point = other.verifying_key.to_string("uncompressed")
    return token(private_section(1, bits, own.to_string()), public_section(1, bits, point))


@rare
def test_key_agreement_is_openssls(bits, tmp_path):
    own, other = (SigningKey.generate(CURVES[bits]) for _ in range(2))
    (tmp_path / "own").write_bytes(own.to_pem())
    (tmp_path / "other").write_bytes(other.verifying_key.to_pem())
    expected = openssl("pkeyutl", "-derive", "-inkey", tmp_path / "own", "-peerkey", tmp_path / "other")
    reply = call(make_adapter(), parameters(b"DH", [b"PASSTHRU"], b"", part(0, keys(bits, own, other))))
    assert reply.codes == (0, 0)
    assert reply.message[48 + 240 : 48 + 242] == short(bits // 8 + 4)
    assert reply.message[48 + 244 : 48 + 244 + bits // 8] == expected


@rare
@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
def test_openssl_verifies_a_signature(bits, name, tmp_path):
    key, size = SigningKey.generate(CURVES[bits]), bits // 8
    digest = hashlib.new(name, b"apmatrix").digest()
    signed = call(make_adapter(), parameters(b"SG", [b"ECDSA"], block(digest), part(0x20, keys(bits, key, key))))
    signature = signed.message[48 + 232 : 48 + 232 + 2 * size]
    r, s = sigdecode_string(signature, key.curve.order)
    (tmp_path / "key").write_bytes(key.verifying_key.to_pem())
    (tmp_path / "signature").write_bytes(sigencode_der(r, s, key.curve.order))
    words = ("pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key", "-sigfile", tmp_path / "signature")
    assert b"Success" in openssl(*words, data=digest)


@rare
def test_a_signature_of_openssl_is_verified(bits, tmp_path):
    key, size = SigningKey.generate(CURVES[bits]), bits // 8
    digest = hashlib.sha256(b"apmatrix").digest()
    (tmp_path / "key").write_bytes(key.to_pem())
    encoded = openssl("pkeyutl", "-sign", "-inkey", tmp_path / "key", data=digest)
    numbers = sigdecode_der(encoded, key.curve.order)
    signature = b"".join(number.to_bytes(size, "big") for number in numbers)
    public = token(public_section(1, bits, key.verifying_key.to_string("uncompressed")))

    def verify(given):
        return call(
            make_adapter(), parameters(b"SV", [b"ECDSA"], block(digest) + block(given), part(0, public))
        ).codes

    assert verify(signature) == (0, 0)
    assert verify(signature[:-1] + bytes((signature[-1] ^ 1,))) == (4, 429)
    assert verify(bytes(2 * size)) == (4, 429)
    assert verify(b"\xff" * 2 * size) == (4, 429)


@rare
def test_a_generated_pair_belongs_together(bits):
    skeleton = part(0x20, token(private_section(1, bits, b""), public_section(1, bits, b"")))
    reply = call(make_adapter(), parameters(b"PG", [b"CLEAR"], b"", skeleton + bytes.fromhex("0005001000")))
    assert reply.codes == (0, 0)
    private = reply.message[48 + 240 :]
    key = SigningKey.from_string(private[92 : 92 + bits // 8], CURVES[bits])
    public = private[int.from_bytes(private[2:4], "big") :]
    assert key.verifying_key == VerifyingKey.from_string(public[14 : 15 + bits // 4], CURVES[bits])


@rare
def test_what_is_no_key_of_the_curve(bits):
    key, size = SigningKey.generate(CURVES[bits]), bits // 8
    point = bytearray(key.verifying_key.to_string("uncompressed"))
    point[-1] ^= 1

    def derive(secret, public):
        sections = private_section(1, bits, secret), public_section(1, bits, bytes(public))
        return call(make_adapter(), parameters(b"DH", [b"PASSTHRU"], b"", part(0, token(*sections)))).codes

    good = key.verifying_key.to_string("uncompressed")
    assert derive(key.to_string(), good) == (0, 0)
    assert derive(key.to_string(), point) == (8, 66)
    assert derive(bytes(size), good) == (8, 66)
    assert derive(b"\xff" * size, good) == (8, 66)
