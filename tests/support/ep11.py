"""EP11 requests as Linux builds them (hardware.md 3.10, 4.5), written without the code under test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.queues import exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.cards import Adapter

IV = bytes.fromhex("00112233445566778899aabbccddeeff")
DEFAULT = 0x00200C00


def word(number: int) -> bytes:
    return number.to_bytes(4, "big")


def string(content: bytes) -> bytes:
    if len(content) < 128:
        return bytes((4, len(content))) + content
    return b"\x04\x82" + len(content).to_bytes(2, "big") + content


def request(
    function: int,
    strings: Iterable[bytes],
    domain: int = 6,
    flags: int = 0,
    target: int | None = None,
    api: int = 1,
    named_domain: int | None = None,
) -> bytes:
    named = domain if named_domain is None else named_domain
    body = b"".join(string(item) for item in (word(api << 16 | function), word(named), *strings))
    payload = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    cprb = bytearray(32)
    cprb[0:2] = (32).to_bytes(2, "big")
    cprb[2] = 4
    cprb[5] = flags
    cprb[6:8] = b"T4"
    cprb[12:16] = word(domain if target is None else target)
    cprb[16:20] = b"\xff" * 4
    cprb[28:32] = word(len(payload))
    header = bytearray(88)
    header[1] = 6
    header[16:20] = word(88)
    header[32:34] = b"XC"
    header[48:50] = b"\0\1"
    header[56:60] = word(32 + len(payload))
    header[72:76] = word(0x2FD0)
    return bytes(header) + bytes(cprb) + payload


class Reply:
    """A type 86 reply to an EP11 request."""

    def __init__(self, message: bytes) -> None:
        assert message[1] == 0x86, message[:8].hex()
        self.message = message
        self.target = int.from_bytes(message[60:64], "big")
        payload = message[80:]
        assert payload[:2] == b"\x30\x82"
        assert int.from_bytes(payload[2:4], "big") == len(payload) - 4
        assert payload[4:6] == payload[10:12] == payload[16:18] == b"\x04\x04"
        self.value = int.from_bytes(payload[18:22], "big")
        assert payload[22:24] == b"\x04\x82"
        self.data = payload[26:]
        assert int.from_bytes(payload[24:26], "big") == len(self.data)


def call(adapter: Adapter, function: int, strings: Iterable[bytes], domain: int = 6, **options: Any) -> Reply:
    sending = {key: options.pop(key) for key in ("special", "control_domains", "rc8a") if key in options}
    target = options.get("target")
    message = request(function, strings, domain if target is None else target, **options)
    return Reply(exchange(adapter, message, domain, **sending))


def administer(
    adapter: Adapter,
    action: bytes,
    key: bytes = b"",
    domain: int = 6,
    control_domains: Iterable[int] | None = None,
    queue: int = 6,
) -> Reply:
    """Our own command for wrapping keys."""
    allowed = (domain,) if control_domains is None else control_domains
    return Reply(
        exchange(
            adapter,
            request(41, (action, key), domain, flags=0x80),
            queue,
            control_domains=allowed,
        )
    )


def set_wrapping_key(adapter: Adapter, key: bytes, domain: int = 6) -> None:
    for action, part in ((b"IMPORT", key), (b"COMMIT", b""), (b"FINALIZE", b"")):
        assert administer(adapter, action, part, domain).value == 0


def attributes(size: int, booleans: int = DEFAULT) -> bytes:
    return word(0x10010000) + word(booleans) + word(booleans) + word(0x161) + word(size)


def generate(adapter: Adapter, size: int = 32, booleans: int = DEFAULT, domain: int = 6) -> Reply:
    return call(
        adapter,
        21,
        (word(0), word(size), word(0x1080), attributes(size, booleans), b""),
        domain,
        api=4,
    )


def encrypt(adapter: Adapter, blob: bytes, data: bytes, domain: int = 6) -> Reply:
    return call(adapter, 19, (word(0), word(0x1085) + IV, blob, data), domain)


def decrypt(adapter: Adapter, blob: bytes, data: bytes, domain: int = 6) -> Reply:
    return call(adapter, 20, (word(0), word(0x1085) + IV, blob, data), domain)


def unwrap(
    adapter: Adapter, kek: bytes, wrapped: bytes, size: int = 32, booleans: int = DEFAULT, domain: int = 6
) -> Reply:
    listed = word(0x10020000) + word(booleans) + word(booleans) + word(0x100) + word(0x1F) + word(0x161) + word(size)
    return call(adapter, 34, (listed, word(0x1085) + IV, kek, b"", b"", wrapped), domain, api=4)


def protect(adapter: Adapter, blob: bytes, domain: int = 6, special: bool = True, flags: int = 0x20) -> Reply:
    return call(
        adapter,
        33,
        (word(0), word(0x80060001) + IV, blob, b"", b""),
        domain,
        api=4,
        flags=flags,
        special=special,
    )
