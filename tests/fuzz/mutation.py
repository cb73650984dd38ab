"""Spoils messages at random, with a liking for what parsers trip over: lengths, offsets, tags."""

INTERESTING = (0, 1, 2, 3, 4, 0x7F, 0x80, 0x81, 0x82, 0x84, 0x85, 0xFE, 0xFF)


def spoil(random, message, others):
    """A changed copy of ``message``; ``random`` is a random.Random."""
    data = bytearray(message)
    for _ in range(random.choice((0, 1, 1, 2, 3, 8))):
        random.choice((flip, set_byte, set_word, cut, insert, repeat, splice, add))(random, data, others)
    return bytes(data[:13000])


def place(random, data, width=1):
    return random.randrange(max(1, len(data) - width + 1))


def flip(random, data, others):
    if data:
        data[place(random, data)] ^= 1 << random.randrange(8)


def set_byte(random, data, others):
    if data:
        data[place(random, data)] = random.choice(INTERESTING)


def set_word(random, data, others):
    width = random.choice((2, 4))
    if len(data) >= width:
        at = place(random, data, width)
        value = random.choice((0, 1, 2, len(data), len(data) - at, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
        data[at : at + width] = (value & (256**width - 1)).to_bytes(width, "big")


def add(random, data, others):
    """Change a length field by a little."""
    if len(data) >= 2:
        at = place(random, data, 2)
        value = int.from_bytes(data[at : at + 2], "big") + random.choice((-2, -1, 1, 2))
        data[at : at + 2] = (value % 65536).to_bytes(2, "big")


def cut(random, data, others):
    start = place(random, data)
    del data[start : start + random.choice((1, 2, 4, 16, len(data)))]


def insert(random, data, others):
    at = place(random, data)
    data[at:at] = random.randbytes(random.choice((1, 2, 4, 16)))


def repeat(random, data, others):
    start = place(random, data)
    data[start:start] = data[start : start + random.choice((1, 4, 32))]


def splice(random, data, others):
    other = random.choice(others)
    start = random.randrange(len(other))
    length = random.choice((2, 4, 16, 64))
    data[start : start + length] = other[start : start + length]
