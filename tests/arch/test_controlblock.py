import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import ControlBlock, CrycbFormat, Mask, Matrix
from support.strategies import matrices

HX = Matrix(Mask.of(5, 70), Mask.of(4, 20), Mask.of(4, 20))


@given(matrices)
def test_format_2_holds_every_matrix(matrix):
    block = ControlBlock.of(CrycbFormat.FORMAT_2, matrix)
    assert block.matrix(CrycbFormat.FORMAT_2) == matrix
    data = bytes(block)
    assert data[0x80:0xE0] == matrix.apm.to_bytes() + matrix.aqm.to_bytes() + matrix.adm.to_bytes()
    assert not any(data[:0x80])
    assert not any(data[0xE0:])


@pytest.mark.parametrize("form", [CrycbFormat.FORMAT_0, CrycbFormat.FORMAT_1])
@given(matrix=matrices)
def test_formats_0_and_1_keep_64_adapters_and_16_domains(form, matrix):
    block = ControlBlock.of(form, matrix)
    kept = block.matrix(form)
    assert set(kept.apm) == {adapter for adapter in matrix.apm if adapter < 64}
    assert set(kept.aqm) == {domain for domain in matrix.aqm if domain < 16}
    assert set(kept.adm) == {domain for domain in matrix.adm if domain < 16}
    data = bytes(block)
    assert data[0x00:0x08] == matrix.apm.to_bytes()[:8]
    assert data[0x08:0x10] == matrix.aqm.to_bytes()[:2] + bytes(6)
    assert data[0x10:0x18] == matrix.adm.to_bytes()[:2] + bytes(6)
    assert not any(data[0x18:])


@given(st.binary(min_size=256, max_size=256))
def test_any_storage_is_a_block_and_domains_beyond_15_do_not_count_in_formats_0_and_1(data):
    block = ControlBlock.parse(data)
    assert bytes(block) == data
    assert block.matrix(CrycbFormat.FORMAT_0) == Matrix(
        Mask.from_bytes(data[:8]), Mask.from_bytes(data[8:10]), Mask.from_bytes(data[16:18])
    )
    assert block.matrix(CrycbFormat.FORMAT_1) == block.matrix(CrycbFormat.FORMAT_0)
    assert block.matrix(CrycbFormat.FORMAT_2).apm == Mask.from_bytes(data[0x80:0xA0])
    assert bytes(block)[0x48:0x60] == block.dea_wrapping.to_bytes(24, "big")
    assert bytes(block)[0x60:0x80] == block.aes_wrapping.to_bytes(32, "big")


def test_the_example_of_the_lost_bits():
    assert ControlBlock.of(CrycbFormat.FORMAT_0, HX).matrix(CrycbFormat.FORMAT_0) == Matrix(
        Mask.of(5), Mask.of(4), Mask.of(4)
    )


def test_the_apcb_of_another_format_is_not_seen():
    assert not ControlBlock.of(CrycbFormat.FORMAT_2, HX).matrix(CrycbFormat.FORMAT_1).apm
    assert not ControlBlock.of(CrycbFormat.FORMAT_1, HX).matrix(CrycbFormat.FORMAT_2).apm


@pytest.mark.parametrize(
    ("form", "code", "size"),
    [(CrycbFormat.FORMAT_0, 0, 32), (CrycbFormat.FORMAT_1, 1, 128), (CrycbFormat.FORMAT_2, 3, 256)],
)
def test_format_numbers_and_sizes(form, code, size):
    assert form == code
    assert form.size == size


def test_binary_10_is_no_format():
    with pytest.raises(ValueError):
        CrycbFormat(2)
