"""What Linux demands of a reply (hardware.md 3.2 to 3.10), written without the code under test."""


def number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "big")


def assert_well_formed(reply: bytes) -> None:
    """Assert that Linux would not take the queue for broken because of ``reply``."""
    assert len(reply) >= 8
    kind = reply[1]
    if kind in (0x82, 0x87, 0x88):
        assert len(reply) == 8
        assert reply[4] != 0
    elif kind == 0x80:
        assert number(reply, 2, 2) == len(reply) <= 528
    else:
        assert kind == 0x86
        assert_coprocessor_reply(reply)


def assert_coprocessor_reply(reply: bytes) -> None:
    count1, offset1, count2, offset2 = (number(reply, offset, 4) for offset in (16, 20, 24, 28))
    assert offset1 == 48
    assert len(reply) == (offset2 + count2 if count2 else offset1 + count1)  # what Linux 7.2 takes for the length
    assert len(reply) <= 12288
    control = reply[48 : 48 + count1]
    if number(control, 0, 2) == 220:
        assert control[2] == 2
        if control[220:222] not in (b"PK", b"PD"):
            assert len(reply) == offset2 + count2  # what Linux 6.1 takes for it
        assert count1 == 220 + number(control, 24, 4)
        assert count2 == number(control, 32, 4)
        assert_blocks(control[220:])
    else:
        assert number(control, 0, 2) == 32
        assert control[2] == 4
        assert count1 == 32 + number(control, 28, 4)


def assert_blocks(parameters: bytes) -> None:
    """Function code, then exactly three blocks."""
    rest = parameters[2:]
    for _ in range(3):
        length = number(rest, 0, 2)
        assert 2 <= length <= len(rest)
        rest = rest[length:]
    assert not rest
