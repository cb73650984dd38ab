"""What a wrong or doubtful number, mask or word in a file may have meant is said, with what to write."""

import pytest

from apmatrix.config import ConfigError, Severity, parse
from support.findings import VALID, findings


@pytest.mark.parametrize(
    ("key", "text", "message", "remedy"),
    [
        ("apmask", "-0011", "0011 is octal 9; adapter 0x11 is 17", "write 9, 11 or 0x11, whichever is meant"),
        (
            "aqmask",
            "-0x4,+0047-0050",
            "0047 is octal 39; domain 0x47 is 71",
            "write 39, 47 or 0x47, whichever is meant",
        ),
        (
            "apmask",
            "5",
            "'5' without a sign is a whole mask, which leaves adapters 1,3 to the host",
            'write "-5" to take adapter 5 away from it, or 0x5 if it is meant',
        ),
    ],
)
def test_a_mask_that_means_something_else_than_it_seems_to(key, text, message, remedy):
    text = VALID.partition("  [[lpar.guest]]")[0].replace('apmask = "-1,-2"', f'{key} = "{text}"')
    found = findings(text)
    assert (found[0].severity, found[0].line, found[0].message, found[0].remedy) == (
        Severity.WARNING,
        11,
        message,
        remedy,
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"5,6,0047"', "0047 is octal 39; domain 0x47 is 71: write 39, 47 or 0x47, whichever is meant"),
        ('["5", "6", "0253"]', "0253 is octal 171; in hexadecimal it is 0xab: write 171 or 253, whichever is meant"),
        ('"5,6,0010-0012"', "0010 is octal 8; domain 0x10 is 16: write 8, 10 or 0x10, whichever is meant"),
        ('"5,6,0377"', "0377 is octal 255; in hexadecimal it is 0xff: write 255 if that is meant"),
    ],
)
def test_an_octal_number_is_a_warning_with_its_other_readings(value, expected):
    finding, *_ = findings(VALID.replace('"5,6"', value))
    assert finding.severity is Severity.WARNING
    assert finding.line == 9
    assert finding.text == expected


@pytest.mark.parametrize("value", ['"05,06"', '["05", 6]', '"5,0x6,00"'])
def test_a_number_that_is_the_same_in_octal_raises_no_doubt(value):
    assert findings(VALID.replace('"5,6"', value)) == ()


def test_decimal_digits_of_a_hexadecimal_number_that_is_there():
    text = VALID.replace('usage_domains = "5,6"', 'usage_domains = "5,6,0x47"').replace('"6"', '"6,47"')
    (finding,) = findings(text)
    assert finding.text.endswith("when the host does; did you mean 0x47, domain 71, which is there?")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[lpar.host]", "[host]", "host: is not a key; did you mean [lpar.host] or [lpar.guest.host]?"),
        ('name = "kvm1"', 'name = "kvm1"\napmask = "-5"', "did you mean apmask of [lpar.host] or [lpar.guest.host]?"),
        ('name = "guest2"', 'name = "guest2"\n aqmask = "-5"', "did you mean aqmask of [lpar.guest.host]?"),
        ('name = "m"', 'name = "m"\n[[guest]]', "did you mean [[lpar.guest]] or [[lpar.guest.guest]]?"),
        ('name = "m"', "MAX-DOMAIN = 1", "machine.MAX-DOMAIN: is not a key; did you mean max_domain?"),
        ('"CEX8A"', '"cex8a"', "by A, C or P, such as CEX8C; did you mean CEX8A?"),
        ('"CEX8A"', '"CEX7S"', "did you mean CEX7A, CEX7C, CEX7P?"),
        ('"CEX8A"', '"CEX8A"\nstate = "Online"', "did you mean 'online'?"),
        ('"CEX8A"', '"CEX8A"\nstate = "offline"', "did you mean 'deconfigured'?"),
        ('apmask = "-1,-2"', 'vfio_ap = "true"', "must be true or false; did you mean true without quotes?"),
        ('ids = "1,2"', 'ids = "1,ab"', "'ab' is not a number such as 4, 0xab or 0253; did you mean 0xab (171)?"),
        ('ids = "1,2"', 'ids = "1,0089"', "a leading 0 means octal: did you mean 89, or 0x89 (137)?"),
        ('ids = "1,2"', "ids = 1,2", 'did you mean ids = "1,2"? Texts, and several numbers, are in quotes'),
        ('ids = "1,2"', "ids = 05", "did you mean ids = 5? TOML takes no zeros before a number"),
        ('name = "m"', "name: m", 'did you mean name = "m"?'),
    ],
)  # fmt: skip
def test_what_may_have_been_meant(old, new, expected):
    assert VALID.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        parse(VALID.replace(old, new), "f.toml")
    assert expected in str(caught.value)
    assert all(finding.severity is Severity.ERROR for finding in caught.value.findings)


def test_a_word_that_must_be_in_a_list():
    assert "; did you mean ['APXA']?" in str(findings('[machine]\nfeatures = "apxa"\n[[lpar]]\nname = "k"\n')[0])


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0x" + "f" * 65, "write 0x and up to 64 hexadecimal digits, not 65"),
        ("0xffff ffff_0000", 'write apmask = "0xffffffff0000"'),
        ("0x5 6", 'write apmask = "-0x5,-6"'),
        ("0xffff,0xffff", 'write terms with signs, such as apmask = "-5,-6"'),
    ],
)
def test_a_whole_mask_that_the_kernel_does_not_take(text, remedy):
    found = findings(f'[[lpar]]\nname = "k"\n[lpar.host]\napmask = "{text}"\n')
    assert [finding.remedy for finding in found] == [remedy]
