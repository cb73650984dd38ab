import pytest
from hypothesis import given

from apmatrix.arch import CardFunctions, CardType, Configuration, Mask, Matrix, Mode, QueueInfo
from apmatrix.arch.info import CompatibleType
from support.strategies import matrices

# hardware.md 8.1, vector 42: the block that machine M stores.
BLOCK_OF_M = bytes.fromhex(
    "c00000003f54" + "00" * 10  # flags, Na, Nd
    + "2420" + "00" * 30
    + "0200000000001000" + "00" * 24
    + "020000000000100080" + "00" * 23
    + "00" * 16
)  # fmt: skip


def test_the_block_of_machine_m():
    block = Configuration(
        apsc=True, apxa=True, highest_adapter=63, highest_domain=84,
        apm=Mask.of(2, 5, 10), aqm=Mask.of(6, 0x33), adm=Mask.of(6, 0x33, 0x40),
    )  # fmt: skip
    assert bytes(block) == BLOCK_OF_M
    assert Configuration.parse(BLOCK_OF_M) == block
    assert block.feature_names() == ("APSC", "APXA")


@given(matrices)
def test_the_masks_of_a_configuration(matrix):
    block = Configuration(apm=matrix.apm, aqm=matrix.aqm, adm=matrix.adm)
    assert block.matrix == matrix
    assert bytes(block)[16:112] == matrix.apm.to_bytes() + matrix.aqm.to_bytes() + matrix.adm.to_bytes()


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (0xF0800000, ("APSC", "APXA", "QACT", "RC8A", "APSB")),
        (0x50000000, ("APXA", "RC8A")),
        (0x08000000, ()),
        (0, ()),
    ],
)
def test_features_are_named_in_the_order_of_linux(flags, names):
    assert Configuration(flags=flags).feature_names() == names


@pytest.mark.parametrize(
    ("word", "letters"),
    [
        (0x6A800000, "-MC-A-N-F-"),
        (0x93800000, "S--D--NHF-"),
        (0x86800000, "S----XN-F-"),
        (0x00400000, "---------R"),
    ],
)
def test_facility_letters_are_those_of_lszcrypt(word, letters):
    assert CardFunctions(word).letters() == letters


@pytest.mark.parametrize(
    ("bits", "mode"),
    [
        ("accelerator coprocessor ep11", Mode.ACCELERATOR),
        ("coprocessor ep11", Mode.CCA),
        ("ep11", Mode.EP11),
        ("apxa full_function", None),
    ],
)
def test_the_first_mode_bit_in_linux_order_decides_the_mode(bits, mode):
    """DEV-2: accelerator, CCA, EP11."""
    assert CardFunctions(**dict.fromkeys(bits.split(), True)).mode is mode


@pytest.mark.parametrize(
    ("word", "kind", "domains", "size", "depth"),
    [
        (0x6A8000000D540307, 13, 84, 12288, 8),
        (0x938000000E540000, 14, 84, 12288, 1),
        (0x868000000EFF0F0F, 14, 255, 61440, 16),
    ],
)
def test_the_information_word(word, kind, domains, size, depth):
    info = QueueInfo(word)
    assert (info.hardware_type, info.highest_domain, info.max_message_size, info.depth) == (
        kind,
        domains,
        size,
        depth,
    )
    assert info.functions.value == word >> 32


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *((f"CEX{4 + age}A", 0x6A800000_0A540307 + (age << 24)) for age in range(4)),
        *((f"CEX{4 + age}C", 0x92800000_0A540307 + (age << 24)) for age in range(4)),
        *((f"CEX{4 + age}P", 0x06800000_0A540307 + (age << 24)) for age in range(4)),
        ("CEX8A", 0x6A800000_0E540607),
        ("CEX8C", 0x93800000_0E540607),
        ("CEX8P", 0x06800000_0E540607),
    ],
)
def test_the_words_of_the_card_types_are_those_that_real_cards_show(text, word):
    kind = CardType.parse(text)
    assert QueueInfo(
        functions=kind.functions,
        hardware_type=kind.hardware_type,
        highest_domain=84,
        message_limit=kind.message_limit,
        depth_code=7,
    ) == QueueInfo(word)


@pytest.mark.parametrize("generation", range(4, 9))
@pytest.mark.parametrize("mode", Mode)
def test_card_types_read_and_print(generation, mode):
    kind = CardType.parse(f"CEX{generation}{mode.value}")
    assert kind == CardType(generation, mode)
    assert str(kind) == f"CEX{generation}{mode.value}"
    assert kind.hardware_type == generation + 6
    functions = kind.functions
    assert [functions.accelerator, functions.coprocessor, functions.ep11] == [mode is one for one in Mode]


@pytest.mark.parametrize("text", ["CEX3C", "CEX9A", "CEX8X", "cex8c", "CEX8", "", "CEX8C "])
def test_other_card_types_are_refused_with_the_remedy(text):
    with pytest.raises(ValueError, match="such as CEX8C"):
        CardType.parse(text)


def test_the_answer_of_qact():
    assert CompatibleType(hardware_type=14, version=2).value == 0x000000000E000002


def test_a_matrix_is_not_confused_with_reserved_bytes():
    assert Configuration.parse(b"\xff" * 16 + bytes(96) + b"\xff" * 16).matrix == Matrix()
