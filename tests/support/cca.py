"""CCA requests as Linux builds them (hardware.md 3.4 to 4.4), written without the code under test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.queues import exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.cards import Adapter


def short(number: int) -> bytes:
    return number.to_bytes(2, "big")


def block(content: bytes) -> bytes:
    return short(len(content) + 2) + content


def request(
    parameters: bytes, domain: int = 6, function_id: bytes = b"T2", room: int = 0, data_room: int = 0
) -> bytes:
    """A type 06 message with a CPRBX in front of ``parameters``."""
    cprbx = bytearray(220)
    cprbx[0:2] = short(220)
    cprbx[2] = 2
    cprbx[6:8] = function_id
    cprbx[12:16] = len(parameters).to_bytes(4, "big")
    cprbx[20:24] = (220 + (room or 512)).to_bytes(4, "big")
    cprbx[28:32] = data_room.to_bytes(4, "big")
    cprbx[170:172] = short(domain)
    header = bytearray(88)
    header[1] = 6
    header[16:20] = (88).to_bytes(4, "big")
    header[32:34] = b"CA"
    header[52:54] = parameters[:2]
    header[56:60] = (220 + len(parameters)).to_bytes(4, "big")
    header[72:76] = (220 + (room or 512)).to_bytes(4, "big")
    header[76:80] = data_room.to_bytes(4, "big")
    return bytes(header) + bytes(cprbx) + parameters


def parameters(function: bytes, rules: Iterable[bytes] = (), vud: bytes = b"", keys: bytes = b"") -> bytes:
    keywords = b"".join(rule.ljust(8) for rule in rules)
    return function + block(keywords) + block(vud) + block(keys)


class Reply:
    """A type 86 reply to a CCA request."""

    def __init__(self, message: bytes) -> None:
        assert message[1] == 0x86, message[:8].hex()
        self.message = message
        self.cprbx = message[48:268]
        self.codes = (
            int.from_bytes(self.cprbx[144:146], "big"),
            int.from_bytes(self.cprbx[146:148], "big"),
        )
        count1 = int.from_bytes(message[16:20], "big")
        self.block = message[268 : 48 + count1]
        self.data = message[int.from_bytes(message[28:32], "big") :]
        rest = self.block[2:]
        self.parts = []
        while rest:
            length = int.from_bytes(rest[:2], "big")
            self.parts.append(rest[2:length])
            rest = rest[length:]
        self.rules, self.vud, self.keys = self.parts


def call(adapter: Adapter, block_: bytes, domain: int = 6, **options: Any) -> Reply:
    """Send a parameter block and take the reply apart."""
    sending = {key: options.pop(key) for key in ("special", "control_domains", "rc8a") if key in options}
    return Reply(exchange(adapter, request(block_, domain, **options), domain, **sending))


def pk(modulus: int, exponent: int, value: int, length: int) -> bytes:
    """Linux' RSA request with a modulus of ``length`` bytes."""
    section = b"\x04\0" + short(2 * length + 12) + bytes(2) + short(length) + short(8 * length) + short(length)
    token = b"\x1e\0" + short(2 * length + 20) + bytes(4) + section
    numbers = exponent.to_bytes(length, "big") + modulus.to_bytes(length, "big")
    key = block(bytes(2) + token + numbers)
    return parameters(b"PK", [b"MRP"], value.to_bytes(length, "big"), key)


def pd(key: Iterable[int], value: int, length: int) -> bytes:
    """Linux' RSA request with p, q, dp, dq, u in ``key``."""
    short_length = (length + 1) // 2
    long_length = short_length + 8
    sizes = (long_length, short_length, long_length, short_length, long_length)
    pad = -sum(sizes) % 8
    private = bytearray(132)
    private[0] = 8
    private[2:4] = short(132 + sum(sizes) + pad + length)
    private[28] = 0x40
    private[50] = 0x80
    for index, size in enumerate((*sizes, length)):
        private[54 + 2 * index : 56 + 2 * index] = short(size)
    private[70:72] = short(pad)
    numbers = b"".join(number.to_bytes(size, "big") for number, size in zip(key, sizes, strict=True))
    public = b"\x04\0" + short(15) + bytes(2) + short(3) + short(8 * length) + bytes(2) + b"\x01\0\x01"
    body = bytes(private) + numbers + bytes(pad) + b"\xff" * length + public
    token = b"\x1e\0" + short(8 + len(body)) + bytes(4) + body
    return parameters(b"PD", [b"ZERO-PAD"], value.to_bytes(length, "big"), block(bytes(2) + token))


def part(flags: int, content: bytes) -> bytes:
    return block(short(flags) + content)


def master_key(
    adapter: Adapter,
    action: bytes,
    key_set: bytes | None = None,
    data: bytes = b"",
    domain: int = 6,
    control_domains: Iterable[int] | None = None,
    queue: int = 6,
    **options: Any,
) -> Reply:
    """Our own administrative command for master keys."""
    rules = [action] if key_set is None else [action, key_set]
    allowed = (domain,) if control_domains is None else control_domains
    cprbx_domain = options.pop("cprbx_domain", queue)
    message = request(parameters(b"MK", rules, short(domain) + data), cprbx_domain, function_id=b"T5")
    return Reply(exchange(adapter, message, queue, control_domains=allowed, **options))


def set_master_key(adapter: Adapter, key_set: bytes = b"AES", seed: int = 1, domain: int = 6) -> None:
    """Load two parts and set; the key is the XOR of the parts."""
    size = 24 if key_set == b"ASYM" else 32
    for action, data in (
        (b"LOAD-FST", bytes([seed]) * size),
        (b"LOAD-LST", bytes(range(size))),
        (b"SET", b""),
    ):
        assert master_key(adapter, action, key_set, data, domain).codes == (0, 0)


def facility(adapter: Adapter, keyword: bytes, domain: int = 6) -> Reply:
    return call(adapter, parameters(b"FQ", [keyword], bytes(4096)), domain)


KEY_SKELETON_PARTS = b"".join(part(flags, bytes(64)) for flags in (0x10, 0x10, 0x30, 0x10, 0x10, 0x10))


def generate_data(adapter: Adapter, size: int = 32, domain: int = 6) -> Reply:
    words = b"OP      " + b"KEYLN%d " % size + b"AESDATA " + bytes(8)
    return call(adapter, parameters(b"KG", [], words, KEY_SKELETON_PARTS), domain)


def import_clear(adapter: Adapter, key: bytes, domain: int = 6) -> Reply:
    return call(adapter, parameters(b"CM", [b"AES"], key, part(0x30, bytes(64))), domain)


def token(reply: Reply) -> bytes:
    """The token in the first key part of ``reply``."""
    assert reply.codes == (0, 0), reply.codes
    length = int.from_bytes(reply.keys[:2], "big")
    return reply.keys[4:length]


def skeleton(exportable: bool = True, payload_format: int = 1) -> bytes:
    """An AES CIPHER token without a key."""
    header = bytearray(56)
    header[0] = 1
    header[2:4] = short(56)
    header[4] = 5
    header[26] = 2
    header[28] = payload_format
    header[41] = 2
    header[42:44] = short(1)
    header[49] = 3
    header[50:52] = short(0x0F00 if exportable else 0x0700)
    return bytes(header)


def generate_cipher(adapter: Adapter, size: int = 32, domain: int = 6, **options: Any) -> Reply:
    vud = b"TOKEN   " + b" " * 8 + short(size * 8) + bytes(8)
    empty = part(0x30, b"")
    keys = empty + empty + part(0x30, skeleton(**options)) + 3 * empty
    return call(adapter, parameters(b"GK", [b"AES", b"OP"], vud, keys), domain)


def import_part(
    adapter: Adapter, rules: Iterable[bytes], key_part: bytes, key_token: bytes, domain: int = 6
) -> Reply:
    vud = part(0x64, short(len(key_part) * 8)) + part(0x63, key_part)
    block_ = parameters(b"IP", [b"AES", *rules], vud, part(0x30, key_token))
    return call(adapter, block_, domain)


def unwrap_data(adapter: Adapter, key_token: bytes, domain: int = 6, special: bool = True) -> Reply:
    vud = part(1, b"")
    return call(adapter, parameters(b"US", [], vud, part(0, key_token)), domain, special=special)


def unwrap_cipher(adapter: Adapter, key_token: bytes, domain: int = 6, special: bool = True) -> Reply:
    vud = part(0xC2, bytes(66))
    return call(adapter, parameters(b"AU", [b"EXPT-SK"], vud, part(0, key_token)), domain, special=special)


def protected_key(reply: Reply) -> bytes:
    """The protected key, pattern included, in a reply to US or AU."""
    assert reply.codes == (0, 0), reply.codes
    message = reply.message[48:]
    length = int.from_bytes(message[238:240], "big")
    assert message[233] == 2
    return message[240 : 240 + length]


def clear_ec_token(curve_type: int, bits: int, private: bytes = b"", point: bytes = b"", usage: int = 0xC0) -> bytes:
    """A clear elliptic-curve token as libica builds it; without key and point, a skeleton."""
    section = bytearray(76)
    section[0] = 0x20
    section[2:4] = short(76 + 16 + len(private))
    section[8] = usage
    section[9] = curve_type
    section[10] = 0x40
    section[12:14] = short(bits)
    section[14:16] = section[72:74] = short(16)
    section[74:76] = short(len(private))
    associated = bytearray(16)
    associated[2:4] = short(16)
    associated[7] = curve_type
    associated[8:10] = short(bits)
    associated[10:12] = bytes((usage, 0x40))
    public = bytearray(14)
    public[0] = 0x21
    public[2:4] = short(14 + len(point))
    public[8] = curve_type
    public[10:12] = short(bits)
    public[12:14] = short(len(point))
    body = bytes(section + associated) + private + bytes(public) + point
    return b"\x1e\0" + short(8 + len(body)) + bytes(4) + body


def rsa_skeleton(length: int) -> bytes:
    """A clear RSA token without a key, for a modulus of ``length`` bytes."""
    private = bytearray(132)
    private[0], private[28] = 8, 0x40
    private[2:4], private[64:66] = short(132), short(length)
    return b"\x1e\0" + short(8 + 132) + bytes(4) + bytes(private)


def generate_pair(adapter: Adapter, skeleton: bytes, domain: int = 6, rule: bytes = b"MASTER") -> Reply:
    return call(adapter, parameters(b"PG", [rule], b"", part(0x20, skeleton)), domain)


def sign(adapter: Adapter, key_token: bytes, digest: bytes = bytes(32), domain: int = 6) -> Reply:
    return call(adapter, parameters(b"SG", [b"ECDSA"], block(digest), part(0x20, key_token)), domain)


def decrypt(adapter: Adapter, key_token: bytes, value: int, length: int, domain: int = 6) -> Reply:
    """PD with a whole token."""
    return call(adapter, parameters(b"PD", [b"ZERO-PAD"], value.to_bytes(length, "big"), part(0, key_token)), domain)
