import pytest

from apmatrix.arch import ApmatrixError, Interruption, ProgramCheck


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (Interruption.OPERATION, 1),
        (Interruption.PRIVILEGED_OPERATION, 2),
        (Interruption.ADDRESSING, 5),
        (Interruption.SPECIFICATION, 6),
        (Interruption.PAGE_TRANSLATION, 0x11),
    ],
)
def test_a_program_check_tells_code_and_reason(code, number):
    check = ProgramCheck(code, "bit 47 of GR0 is one")
    assert isinstance(check, ApmatrixError)
    assert check.code == number
    assert check.reason == "bit 47 of GR0 is one"
    assert f"{number:04x}" in str(check)
    assert str(check).endswith("bit 47 of GR0 is one")


def test_the_sentence_reads_well():
    text = str(ProgramCheck(Interruption.PRIVILEGED_OPERATION, "PQAP in the problem state"))
    assert text == "program check 0002 (privileged operation): PQAP in the problem state"
