"""The commands: what they print, their exit codes, no traceback for any input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from apmatrix.arch import Apqn
from apmatrix.cli.folding import printable
from apmatrix.cli.main import COMMANDS, main
from apmatrix.config import load
from apmatrix.emulation import Emulation, look
from apmatrix.service.operations import Asked, explain_queues
from apmatrix.service.protocol.matrix import ExplainQueues, GetMatrix
from apmatrix.service.protocol.messages import Success, decode_answer, encode

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.chdir(EXAMPLES.parent)
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*words, code=0):
        result = CliRunner().invoke(main, [str(word) for word in words], prog_name="apmatrix")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        assert result.exit_code == code, result.output
        return result

    return invoke


def test_show_draws_the_matrix(run):
    output = run("show", "examples/three-guests.toml").stdout
    assert "LPAR kvm1: adapters 5-6, usage domains 4,71,171,255" in output
    assert "          4        71       171      255\nadapter   0004     0047     00ab     00ff" in output
    assert "5    05   guest1   guest2   guest1   guest2" in output
    assert "6    06   guest1   guest3   guest1   guest3" in output


def test_show_names_nested_holders_and_the_legend(run):
    output = run("show", "examples/nested.toml").stdout
    assert "5    05   guest1/guest2   other   guest1" in output
    assert "free  vfio_ap has it, no guest asked for it  1 queue" in output
    assert (
        "In the file:\n  examples/nested.toml:30: lpar[0].guest[0].guest[0].adapters: the host of guest guest2"
        in output
    )


def test_show_uses_numbers_where_names_are_too_wide(run):
    output = run("show", "examples/large.toml").stdout
    assert "H   the drivers of the Linux in the LPAR  64 queues" in output
    assert "40  guest40                               24 queues" in output


def test_show_names_the_guests_that_asked_for_a_free_queue_and_were_refused(run, tmp_path):
    file = tmp_path / "refused.toml"
    file.write_text("""
        [[adapter]]
        ids = "5"
        type = "CEX8A"
        [[lpar]]
        name = "kvm1"
        adapters = "5"
        usage_domains = "4-7"
        [lpar.host]
        apmask = "-5"
        [[lpar.guest]]
        name = "guest1"
        adapters = "5"
        domains = "4"
        [[lpar.guest]]
        name = "guest2"
        adapters = "5"
        domains = "4-6"
        """)
    output = run("show", file, code=1).stdout
    assert "free  vfio_ap has it; guest2 asked, refused  2 queues" in output
    assert "free  vfio_ap has it, no guest asked for it  1 queue" in output
    (lpar,) = json.loads(run("show", "--json", file, code=1).stdout)["lpars"]
    assert [(queue["holding"], queue["refused"]) for queue in lpar["queues"]] == [
        ("guest", []),
        ("free", ["guest2"]),
        ("free", ["guest2"]),
        ("free", []),
    ]


def test_show_of_a_word_that_is_neither_a_file_nor_a_machine(run):
    output = run("show", "thre-guests", code=2).stderr
    assert "there is no file thre-guests, and no machine of that name is running: apmatrix status" in output


@pytest.mark.parametrize("words", [["explain"], ["up"]], ids=" ".join)
def test_a_name_that_no_file_can_have(run, words):
    rest = ["guest1", "05.0004"] if words == ["explain"] else []
    assert "File name too long" in run(*words, "x" * 300, *rest, code=2).stderr


def test_show_as_json(run):
    facts = json.loads(run("show", "--json", "examples/three-guests.toml").stdout)
    (lpar,) = facts["lpars"]
    assert facts["adapters"][0] == {"id": 5, "type": "CEX5C", "state": "online"}
    assert {"apqn": "05.00ff", "holding": "guest", "holder": "guest2", "refused": []} in lpar["queues"]
    assert lpar["guests"][2]["effective"] == {"adapters": [6], "usage_domains": [0x47, 0xFF], "control_domains": []}


def test_show_tells_what_is_refused(run):
    output = run("show", "examples/invalid-shared-queue.toml", code=1).stdout
    assert "Refused:" not in output  # the finding tells of it
    finding = " ".join(output.partition("In the file:")[2].split())
    assert finding.startswith(
        "examples/invalid-shared-queue.toml:24: lpar[0].guest[1]: 01.0006 is already assigned to"
    )


def test_show_tells_what_no_finding_foretold(run, tmp_path):
    path = tmp_path / "f.toml"
    path.write_text('[[lpar]]\nname = "kvm1"\n[lpar.host]\npolicy = "protective"\napmask = "0x5"\n')
    output = run("show", str(path), code=1).stdout
    assert "Refused:\n  kvm1: " in output


def test_show_tells_which_lpar_is_not_activated(run, tmp_path):
    path = tmp_path / "two.toml"
    lpar = '[[lpar]]\nname = "{}"\nadapters = "1"\nusage_domains = "6"\n'
    path.write_text('[[adapter]]\nid = 1\ntype = "CEX8A"\n' + lpar.format("a") + lpar.format("b"))
    output = run("show", path, code=1).stdout
    assert "LPAR b: adapters 1, usage domains 6, control domains 6\n  not activated" in output
    assert "01.0006 is also in the activation profile of LPAR a, so LPAR b is not activated" in " ".join(
        output.split()
    )


@pytest.mark.parametrize(
    ("guest", "apqn", "answer", "code"),
    [
        ("guest2", "05.0047", "Does kvm1/guest2 have 05.0047? Yes.", 0),
        ("guest2", "05.0004", "No: the mdev of guest2 does not have domain 4; 05.0004 is assigned to guest1.", 1),
        ("guest2", "06.0047", "No: the mdev of guest2 does not have adapter 6; 06.0047 is assigned to guest3.", 1),
        ("guest2", "05.0001", "No: the activation profile does not have domain 1.", 1),
        ("guest2", "07.0047", "No: the machine has no adapter 7.", 1),
    ],
)
def test_explain_says_why(run, guest, apqn, answer, code):
    output = " ".join(run("explain", "examples/three-guests.toml", guest, apqn, code=code).stdout.split())
    assert answer in output


@pytest.mark.parametrize(
    ("apqn", "note"),
    [
        ("05.71", "APQNs are hexadecimal: 05.0071 is domain 113; domain 71 is 05.0047."),
        ("05.4", ""),
        ("05.00ee", ""),
    ],
)
def test_explain_says_what_else_a_missing_queue_may_mean(run, apqn, note):
    has = apqn == "05.4"
    output = " ".join(
        run("explain", "examples/three-guests.toml", "guest1", apqn, code=0 if has else 1).stdout.split()
    )
    assert note in output
    assert ("APQNs are hexadecimal" in output) == bool(note)


@pytest.mark.parametrize(
    ("words", "near"), [(["explan"], "explain"), (["guest", "strat"], "start"), (["key", "shwo"], "show")]
)
def test_an_unknown_command_names_the_one_that_may_be_meant(run, words, near):
    assert f"No such command '{words[-1]}'. Did you mean '{near}'?" in run(*words, code=2).stderr


def test_explain_walks_down_the_levels(run):
    (facts,) = json.loads(run("explain", "--json", "examples/nested.toml", "guest2", "06.0004").stdout)[
        "explanations"
    ]
    assert facts["has"]
    assert [(step["where"], step["subject"]) for step in facts["steps"]] == [
        ("nested", "adapter"),
        ("kvm1", "profile"),
        *((host, subject) for host in ("kvm1", "kvm1/guest1") for subject in
          ("queue device", "ownership", "binding", "assignment", "filter", "control block")),
        ("kvm1/guest1/guest2", "effective"),
    ]  # fmt: skip


def test_explain_all_queues_of_a_guest(run):
    output = run("explain", "examples/nested.toml", "kvm1/guest1/guest2", code=1).stdout
    assert output.startswith("kvm1/guest1/guest2 has 2 of the 3 queues that it is given.")
    assert "07.0004   no    kvm1" in output


def test_explain_a_refused_assignment(run):
    output = " ".join(
        run("explain", "examples/invalid-shared-queue.toml", "guest2", "01.0006", code=1).stdout.split()
    )
    assert (
        "No: the assignment was refused with EADDRINUSE: queue 01.0006 cannot be assigned to guest2's mdev" in output
    )


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_demo_of_each_example(run, example):
    refused = example.stem.startswith("invalid")
    facts = json.loads(run("demo", "--json", example, code=int(refused)).stdout)
    assert facts["failed"] == 0
    assert bool(facts["refused"]) == refused
    assert {check["section"] for check in facts["checks"]} >= {"An intruder in a guest", "What is refused, and why"}


def test_demo_ends_with_what_was_done(run):
    lines = run("demo", "examples/three-guests.toml").stdout.splitlines()
    assert lines[-3:-1] == [
        "2 adapters, 1 LPAR, 3 running guests; 16 RSA results matched pow(); 14 refusals explained",
        "39 checks, 0 failed",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "a.toml", "--machine", "m"), "give FILE or --machine, not both"),
        (("show", "none.toml"), "none.toml: cannot be read: No such file or directory"),
        (("show", "examples"), "examples: cannot be read: Is a directory"),
        (("demo", "README.md"), "README.md:3: is not valid TOML"),
        (("explain", "examples/three-guests.toml"), "Missing argument 'GUEST'"),
        (
            ("explain", "examples/three-guests.toml", "guest9"),
            "no guest guest9: the guests are kvm1/guest1, kvm1/guest2",
        ),
        (("explain", "examples/three-guests.toml", "guest1", "5.zz"), "'5.zz' is not an APQN such as 05.00ab"),
        (("shwo",), "No such command 'shwo'"),
        (("show", "--jsn", "x"), "No such option"),
    ],
)
def test_wrong_usage_is_a_sentence(run, words, message):
    result = run(*words, code=2)
    assert message in result.stderr
    assert result.stdout == ""


def test_every_command_has_help_with_an_example(run):
    assert "apmatrix example three-guests > three-guests.toml" in run("--help").stdout
    for name in ("show", "explain", "demo", "run", "shell", "boot"):
        assert f"apmatrix {name} " in run(name, "--help").stdout
    for name in COMMANDS:
        assert run(name, "--help").stdout.startswith(f"Usage: apmatrix {name} ")


def test_version(run):
    assert run("--version").stdout.startswith("apmatrix ")


def test_show_draws_a_running_machine_like_a_file(run, monkeypatch):
    with Emulation.start(load(EXAMPLES / "nested.toml", allow_refused=True)) as emulation:
        view = look(emulation)
    monkeypatch.setenv("COLUMNS", "300")
    asked = []

    def ask(machine, request):
        asked.append((machine, request))
        return decode_answer(encode(Success(view)), GetMatrix)

    monkeypatch.setattr("apmatrix.cli.show.ask", ask)
    for options in ((), ("--json",)):
        from_file = run("show", *options, "examples/nested.toml").stdout.replace("examples/", str(EXAMPLES) + "/")
        assert run("show", *options, "--machine", "nested").stdout == from_file
    assert asked == [("nested", GetMatrix())] * 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["guest2"], ExplainQueues("guest2")),
        (["guest2", "05.0004"], ExplainQueues("guest2", Apqn(5, 4))),
        (["--machine", "nested", "guest2"], ExplainQueues("guest2")),
        (["--machine", "nested", "kvm1/guest1", "07.0004"], ExplainQueues("kvm1/guest1", Apqn(7, 4))),
    ],
)
def test_explain_asks_the_running_machine(run, monkeypatch, words, asked):
    with Emulation.start(load(EXAMPLES / "nested.toml", allow_refused=True)) as emulation:
        emulation.lpars[0].shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0004")

        def ask(machine, request):
            assert machine == ("nested" if words[0] == "--machine" else None)
            assert request == asked
            return decode_answer(encode(Success(explain_queues(Asked(emulation), request))), ExplainQueues)

        monkeypatch.setattr("apmatrix.cli.explain.ask", ask)
        facts = json.loads(run("explain", "--json", *words, code=1).stdout)["explanations"]
    assert [fact["reason"] for fact in facts if fact["apqn"] == "05.0004"] in ([], ["bound to no driver"])
    assert len(facts) == (1 if asked.apqn else 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument"),
        (["--machine", "m", "guest1", "nothing"], "'nothing' is not an APQN"),
        (["--machine", "m", "f.toml", "guest1", "05.0004"], "'05.0004' is too much: give GUEST APQN"),
        (["f.toml", "guest1", "05.0004", "more"], "'more' is too much: give FILE GUEST APQN"),
        (["examples/nested.toml", "guest1", "5,4"], "'5,4' is not an APQN"),
        (["guest1", "5,4"], "'5,4' is not an APQN"),
        (["guest1", "5.x"], "'5.x' is not an APQN"),
        (["--machine", "m", "examples/nested.toml", "guest1"], "give FILE (examples/nested.toml) or --machine"),
        (["examples/nested.toml", "guest9"], "there is no guest guest9: the guests are kvm1/guest1"),
    ],
)
def test_explain_with_words_that_make_no_sense(run, words, said):
    assert said in " ".join(run("explain", *words, code=2).stderr.split())


@pytest.mark.parametrize(
    "words",
    [["show", "a\x1b]0;x\x07"], ["explain", "odd.toml", "g\x1b[31m"], ["up", "odd.toml"]],
)
def test_what_a_file_or_a_user_wrote_reaches_a_terminal_without_control_characters(run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "state"))
    (tmp_path / "odd.toml").write_text('[machine]\n"\\u001b]0;x\\u0007" = 1\n')
    said = run(*words, code=2).stderr
    assert "\\x1b" in said
    assert all(character.isprintable() for character in said.replace("\n", ""))


def test_what_a_guest_writes_reaches_a_terminal_without_control_characters():
    assert printable("ap: \x1b]0;mine\x07 \x9b\r\nünd 05.0004") == "ap: \\x1b]0;mine\\x07 \\x9b\\r\\nünd 05.0004"
