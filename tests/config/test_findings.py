"""Each thing that can be wrong in a file is found, with its line, its path and the remedy."""

import pytest

from apmatrix.arch import Mask
from apmatrix.config import ConfigError, Severity, load, parse
from support.findings import VALID, findings


def test_a_valid_file_has_no_findings():
    assert findings(VALID) == ()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "m"', 'nam = "m"', "f.toml:2: machine.nam: is not a key; did you mean name?"),
        ('name = "m"', "quux = 1", "f.toml:2: machine.quux: is not a key; the keys are name, max_adapter, "),
        ('name = "m"', 'name = ""', "f.toml:2: machine.name: is '', but must be a name of up to 64"),
        ('name = "m"', 'name = "a/b"', "f.toml:2: machine.name: is 'a/b', but must be a name"),
        ('name = "m"', "max_domain = 256", "f.toml:2: machine.max_domain: 256 is outside 0-255"),
        ('name = "m"', "max_domain = true", "f.toml:2: machine.max_domain: true is not a number such as 4"),
        ('name = "m"', "max_domain = 1979-05-27", "f.toml:2: machine.max_domain: 1979-05-27 is not a number such"),
        ('name = "m"', "max_domain = [true]", "f.toml:2: machine.max_domain: [true] is not a number such as 4"),
        ('name = "m"', 'features = "apxa"', "f.toml:2: machine.features: is 'apxa', but must be a list of QCI"),
        ('name = "m"', 'features = ["X"]', "f.toml:2: machine.features: is ['X'], but must be a list of QCI"),
        ('name = "m"', "facilities = [13]", "f.toml:2: machine.facilities: is [13], but must be a list of"),
        ('ids = "1,2"', "", "f.toml:3: adapter[0]: an adapter has either id or ids: write one of them"),
        ('ids = "1,2"', 'id = 1\nids = "2"', "f.toml:3: adapter[0]: an adapter has either id or ids"),
        ('ids = "1,2"', 'ids = "2-1"', "f.toml:4: adapter[0].ids: '2-1': the range ends before it begins"),
        ('ids = "1,2"', 'ids = "08"', "f.toml:4: adapter[0].ids: '08' is not a number such as 4, 0xab or 0253"),
        ('ids = "1,2"', "ids = 1.5", "f.toml:4: adapter[0].ids: 1.5 is not a list of numbers such as '4,0xab'"),
        ('type = "CEX8A"', "", "f.toml:3: adapter[0]: the key type is missing: it must be a card type: CEX4"),
        ('"CEX8A"', '"CEX9A"', "f.toml:5: adapter[0].type: 'CEX9A' is not a card type: CEX4 to CEX8 followed"),
        ('"CEX8A"', "8", "f.toml:5: adapter[0].type: 8 is not a card type in quotes, such as 'CEX8C'"),
        ('"CEX8A"', '"CEX8A"\ndepth = 17', "f.toml:6: adapter[0].depth: is 17, but must be a queue depth from"),
        ('"CEX8A"', '"CEX8A"\nfunctions = 0', "f.toml:6: adapter[0].functions: 0 is not a word of TAPQ"),
        ('"CEX8A"', '"CEX8A"\nstate = "on"', "f.toml:6: adapter[0].state: is 'on', but must be 'online', 'd"),
        ('name = "kvm1"', "", "f.toml:6: lpar[0]: the key name is missing: it must be a name of up to 64"),
        ('apmask = "-1,-2"', "apmask = -1", "f.toml:11: lpar[0].host.apmask: -1 is not a text such as '-5,-6'"),
        ('apmask = "-1,-2"', "vfio_ap = 1", "f.toml:11: lpar[0].host.vfio_ap: is 1, but must be true or false"),
        ('apmask = "-1,-2"', 'policy = "x"', "f.toml:11: lpar[0].host.policy: is 'x', but must be 'linux' or"),
        (
            'name = "guest2"',
            'name = "guest1"',
            "f.toml:17: lpar[0].guest[1].name: guest guest1 is described already, at line 13: give one of them",
        ),
        (
            'name = "guest2"',
            'name = "guest2"\n  uuid = "7"',
            "f.toml:18: lpar[0].guest[1].uuid: is '7', but must be a UUID in quotes, such as '62177883-",
        ),
        (
            '[machine]\nname = "m"',
            "machine = 7",
            "f.toml:1: machine: is 7, but must be a table: write [machine]",
        ),
        (
            '[[adapter]]\nids = "1,2"',
            '[adapter]\nids = "1,2"',
            "f.toml:3: adapter: is a table, but must be a list of tables: write [[adapter]]",
        ),
    ],
)
def test_an_error_in_one_place(old, new, expected):
    assert VALID.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        parse(VALID.replace(old, new), "f.toml")
    assert len(caught.value.findings) == 1
    assert str(caught.value).startswith(expected)


def test_numbers_beyond_the_machine():
    text = VALID.replace('name = "m"', "max_adapter = 1\nmax_domain = 5")
    found = [str(finding).partition(" cannot exist in this machine: see ") for finding in findings(text)]
    assert [(place, remedy) for place, _, remedy in found] == [
        ("f.toml:4: adapter[0]: adapter 2", "[machine] max_adapter and features"),
        ("f.toml:9: lpar[0].adapters: adapter 2", "[machine] max_adapter and features"),
        ("f.toml:10: lpar[0].usage_domains: domain 6", "[machine] max_domain and features"),
        ("f.toml:19: lpar[0].guest[1].adapters: adapter 2", "[machine] max_adapter and features"),
        ("f.toml:20: lpar[0].guest[1].domains: domain 6", "[machine] max_domain and features"),
    ]


def test_without_apxa_there_are_64_adapters_and_16_domains():
    text = VALID.replace('name = "m"', 'features = ["APSC"]').replace('"5,6"', '"5,6,16"')
    assert [finding.path for finding in findings(text)] == ["lpar[0].usage_domains"]


def test_all_errors_are_found_at_once():
    text = VALID.replace('"CEX8A"', "1").replace('"-1,-2"', "2").replace('"guest2"', "3")
    assert [finding.line for finding in findings(text)] == [5, 11, 17]


def test_functions_of_another_mode():
    (finding,) = findings(VALID.replace('"CEX8A"', '"CEX8A"\nfunctions = 0xf2000000'))
    assert finding.severity is Severity.ERROR
    assert str(finding) == (
        "f.toml:6: adapter[0].functions: functions 0xf2000000 are not those of a CEX8A: of the mode bits 0x1c000000 "
        "set 0x08000000 only"
    )


def test_functions_without_a_mode_are_a_warning():
    (finding,) = findings(VALID.replace('"CEX8A"', '"CEX8A"\nfunctions = 0x80000000'))
    assert finding.severity is Severity.WARNING
    assert "no driver" in finding.text


def test_an_adapter_described_twice():
    text = VALID.replace("[[lpar]]", '[[adapter]]\nid = 2\ntype = "CEX8C"\n[[lpar]]')
    (finding,) = findings(text)
    assert str(finding) == "f.toml:6: adapter[1]: adapter 2 is described already, at line 3: take one description out"


def test_a_queue_in_two_guests_names_apqn_guests_and_remedy():
    text = VALID.replace('adapters = "2"\n  domains = "6"', 'adapters = "1,2"\n  domains = "5,6"')
    (finding,) = findings(text)
    assert finding.severity is Severity.REFUSED
    assert str(finding) == (
        "f.toml:16: lpar[0].guest[1]: 01.0005 is already assigned to guest guest1, so the assignment to guest "
        "guest2 fails with EADDRINUSE: take the adapter or the domain out of one of the two"
    )


def test_a_queue_in_two_profiles_names_apqns_lpars_and_remedy():
    text = VALID + '[[lpar]]\nname = "kvm2"\nadapters = "2,9"\nusage_domains = "1,5,6"\n'
    refused, planned = findings(text)
    assert str(refused) == (
        "f.toml:20: lpar[1]: 02.0005, 02.0006 are also in the activation profile of LPAR kvm1, so LPAR kvm2 is "
        "not activated: take the adapter or the usage domain out of one profile"
    )
    assert planned.severity is Severity.WARNING
    assert str(planned).startswith("f.toml:22: lpar[1].adapters: the machine has no adapter 9: LPAR kvm2 sees")


def test_control_domains_may_be_shared():
    other = '[[lpar]]\nname = "kvm2"\nadapters = "1,2"\nusage_domains = "7"\ncontrol_domains = "5-7"\n'
    assert findings(VALID + other) == ()


def test_queues_of_guests_of_different_hosts_are_no_conflict():
    nested = (
        '    [lpar.guest.host]\n    apmask = "-2"\n'
        '    [[lpar.guest.guest]]\n    name = "guest1"\n    adapters = "2"\n    domains = "6"\n'
    )
    assert findings(VALID + nested) == ()


def test_a_guest_beyond_its_host_is_a_warning():
    text = VALID.replace('domains = "6"', 'domains = "6,7"')
    (finding,) = findings(text)
    assert finding.severity is Severity.WARNING
    assert str(finding).startswith("f.toml:19: lpar[0].guest[1].domains: the host of guest guest2 has no domain 7")


def test_guests_without_vfio_ap_are_refused():
    (finding,) = findings(VALID.replace('apmask = "-1,-2"', "vfio_ap = false"))
    assert finding.severity is Severity.REFUSED
    assert str(finding).startswith("f.toml:11: lpar[0].host.vfio_ap: guests need vfio_ap in their host")


def test_the_same_uuid_twice_in_one_host():
    text = VALID.replace('name = "guest', 'uuid = "62177883-f1bb-47f0-914d-32a22e3a8804"\n  name = "guest')
    (finding,) = findings(text)
    assert finding.line == 18
    assert finding.message == "mdev 62177883-f1bb-47f0-914d-32a22e3a8804 is described already, at line 13"


def test_refused_is_an_error_unless_allowed(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(VALID.replace('adapters = "2"\n  domains = "6"', 'adapters = "1"\n  domains = "5"'))
    with pytest.raises(ConfigError, match=r"f\.toml:16: .*EADDRINUSE"):
        load(path)
    assert len(load(path, allow_refused=True).findings) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "f.toml: there is no lpar: write [[lpar]] and its keys"),
        ("lpar = []", "f.toml:1: lpar: is [], but must be a list of tables: write [[lpar]]"),
        ("a = ", "f.toml: is not valid TOML: Invalid value (at end of document)"),
        ("[machine]\nname = x\n", "f.toml:2: is not valid TOML: Invalid value (column 8)"),
        ("[machine]\nname = 'a'\nname = 'b'\n", "f.toml:3: is not valid TOML: Cannot overwrite a value"),
        ("a = " + "[" * 5000, "f.toml: values are nested too deeply: take some levels out"),
        ("a = " + "9" * 5000, "f.toml: a value cannot be read: Exceeds the limit"),
        ("lpar = 0x" + "f" * 9000, "f.toml:1: lpar: is a very large number, but must be a list of tables"),
        ("[[lpar]]\nname='a'" + "".join(f"\n[[lpar{'.guest' * n}]]\nname='a'" for n in range(1, 20)),
         "more than 16 levels of guests: take some out"),
    ],
    ids=["empty", "no-lpar", "end", "syntax", "twice", "nesting", "digits", "number", "levels"],
)  # fmt: skip
def test_a_text_that_is_no_configuration(text, expected):
    with pytest.raises(ConfigError) as caught:
        parse(text, "f.toml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def levels(number):
    return "[[lpar]]\nname='a'" + "".join(f"\n[[lpar{'.guest' * depth}]]\nname='a'" for depth in range(1, number + 1))


def test_sixteen_levels_of_guests_are_the_most():
    deepest = f"\n[lpar{'.guest' * 16}.host]\nvfio_ap = false"
    assert len(list(parse(levels(16) + deepest, "f.toml").guests())) == 16
    with pytest.raises(ConfigError, match=r"^f.toml:35: .*: more than 16 levels of guests: take some out$"):
        parse(levels(17), "f.toml")


@pytest.mark.parametrize(
    ("value", "fine"), [("id = 0", True), ("id = 255", True), ("id = -1", False), ("id = 256", False)]
)
def test_the_ends_of_numbers(value, fine):
    assert (
        findings(VALID.replace("[[lpar]]\n", f'[[adapter]]\n{value}\ntype = "CEX8A"\n[[lpar]]\n', 1)) == ()
    ) == fine


@pytest.mark.parametrize("value", ["0x100000000", "-1", "true", "'0x08000000'"])
def test_functions_are_a_word(value):
    (finding,) = findings(VALID.replace('"CEX8A"', f'"CEX8A"\nfunctions = {value}'))
    assert "is not a word of TAPQ facility bits such as 0xf2000000" in finding.text


def test_the_largest_file(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(VALID + "#" * ((16 << 20) - len(VALID)))
    assert load(path).machine.name == "m"


def test_long_values_are_cut_in_messages():
    (finding,) = findings(VALID.replace('"CEX8A"', f'"CEX8A"\nstate = "{"x" * 500}"'))
    assert f"is '{'x' * 55}..., but must be 'online'" in finding.text


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "binary").write_bytes(b"a = 1\n\xff")
    (tmp_path / "utf-16").write_bytes('name = "cpc1"'.encode("utf-16-le"))
    (tmp_path / "large").write_bytes(b"#" * ((16 << 20) + 1))
    reasons = {
        tmp_path: "cannot be read: Is a directory",
        tmp_path / "none": "cannot be read: No such file or directory",
        tmp_path / "a\0b": "cannot be read: embedded null byte",
        tmp_path / "binary": "is not UTF-8 text",
        tmp_path / "utf-16": "has a NUL character, as UTF-16 text has: save it in UTF-8",
        tmp_path / "large": "is larger than 16 MiB",
    }
    for path, reason in reasons.items():
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value).startswith(str(path))
        assert reason in str(caught.value)
    with pytest.raises(ConfigError, match="binary:2: "):
        load(tmp_path / "binary")


def test_a_third_sharer_is_found_though_the_second_is_refused_itself():
    """Every pair is named: that with a guest that is refused itself is a warning, nobody refuses it yet."""
    guest = '  [[lpar.guest]]\n  name = "{}"\n  adapters = "{}"\n  domains = "4"\n'
    text = (
        '[[adapter]]\nids = "1,2"\ntype = "CEX8C"\n[[lpar]]\nname = "a"\nadapters = "1,2"\nusage_domains = "4"\n'
        '[lpar.host]\napmask = "-1,-2"\n'
        + guest.format("one", "1")
        + guest.format("two", "1,2")
        + guest.format("three", "2")
    )
    found = [(finding.severity.value, finding.text) for finding in parse(text, "f.toml").findings]
    assert [severity for severity, _ in found] == ["refused", "warning"]
    assert "01.0004 is already assigned to guest one" in found[0][1]
    assert found[1][1] == (
        "02.0004 is also wanted for guest two, whose assignment fails itself: once it does not, the assignment to "
        "guest three fails with EADDRINUSE"
    )


BEGINNER = """
[[adapter]]
ids = "5,6"
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5,6"
usage_domains = "4,6"
{host}
  [[lpar.guest]]
  name = "guest1"
  adapters = "5"
  domains = "{domains}"
  [[lpar.guest]]
  name = "guest2"
  adapters = "5"
  domains = "6"
"""


@pytest.mark.parametrize(
    ("host", "domains", "expected"),
    [
        ("", "6", '05.0006 belongs to {host}: add [lpar.host] apmask = "-5" or aqmask = "-6"'),
        (
            "",
            "6,7",
            (
                '05.0006, 05.0007 belong to {host}: add [lpar.host] apmask = "-5" or aqmask = "-6,-7"; '
                "and take domain 7 out, which the host does not have"
            ),
        ),
        (
            '[lpar.host]\naqmask = "-6"',
            "6,7",
            (
                "05.0007 belongs to {one}: take domain 7 out, which the host does not have, or "
                "add -5 to apmask or -7 to aqmask of [lpar.host]"
            ),
        ),
        (
            '[lpar.host]\napmask = ["-6", "+6"]',
            "6",
            "05.0006 belongs to {host}: add -5 to apmask or -6 to aqmask of [lpar.host]",
        ),
    ],
    ids=["no masks", "a domain that the LPAR lacks, too", "only such a domain", "masks that do not help"],
)
def test_what_the_masks_keep_for_the_host_is_said_once(host, domains, expected):
    first, *_ = found = findings(BEGINNER.format(host=host, domains=domains))
    assert len(found) == 1
    assert first.severity is Severity.REFUSED
    assert first.path == "lpar[0].guest[0]"
    names = {"one": "so guest guest1 gets", "host": "so guests guest1 and guest2 get"}
    assert first.text == expected.format(
        **{key: f"the host's drivers, {name} nothing" for key, name in names.items()}
    )


def test_masks_that_leave_the_queue_to_guests_are_no_finding():
    text = BEGINNER.format(host='[lpar.host]\naqmask = "-6"', domains="6").partition(
        '  [[lpar.guest]]\n  name = "guest2'
    )[0]
    assert findings(text) == ()


def test_who_is_refused_is_known_by_name():
    file = parse(BEGINNER.format(host="", domains="6"), "f.toml")
    assert file.refused() == {("kvm1", "guest1"), ("kvm1", "guest2")}


def test_a_mark_of_the_byte_order_at_the_start_is_no_error(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(VALID, encoding="utf-8-sig")
    assert load(path).machine.name == "m"
    assert parse("\ufeff" + VALID, "f.toml").machine.name == "m"


def test_a_finding_has_its_parts():
    text = VALID.replace('adapters = "2"\n  domains = "6"', 'adapters = "1,2"\n  domains = "5,6"')
    (finding,) = findings(text)
    assert finding.remedy == "take the adapter or the domain out of one of the two"
    assert finding.text == f"{finding.message}: {finding.remedy}"
    assert list(map(str, finding.apqns)) == ["01.0005"]
    assert finding.refuses == ("lpar[0].guest[1]",)


def test_many_guests_that_want_one_queue_cost_no_more_each(monkeypatch):
    compared = []
    overlaps = Mask.overlaps

    def counted(mask, other):
        compared.append(other)
        return overlaps(mask, other)

    monkeypatch.setattr(Mask, "overlaps", counted)
    head = BEGINNER.format(host='[lpar.host]\napmask = "-5"', domains="6").partition("  [[lpar.guest]]")[0]
    guests = (f'[[lpar.guest]]\nname = "g{number}"\nadapters = "5"\ndomains = "6"\n' for number in range(300))
    found = findings(head + "".join(guests))
    assert len(found) == 299
    assert all("already assigned to guest g0, " in finding.text for finding in found)
    assert len(compared) < 300 * 4


def test_no_name_of_a_file():
    with pytest.raises(ConfigError, match=r"^'': is not the name of a file$"):
        load("")


def test_a_mask_that_linux_refuses_is_found_at_its_line_with_what_it_costs():
    text = BEGINNER.format(host='[lpar.host]\napmask = "-5,6"', domains="6")
    (finding,) = findings(text)
    assert str(finding) == (
        "f.toml:10: lpar[0].host.apmask: is refused with EINVAL: '-5,6': '6' is where + or - is needed, so guests "
        'guest1 and guest2 get nothing: write apmask = "-5,-6"'
    )
    assert finding.severity is Severity.REFUSED
    assert parse(text, "f.toml").refused() == {("kvm1",), ("kvm1", "guest1"), ("kvm1", "guest2")}
