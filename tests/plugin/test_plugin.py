"""The pytest plugin: which machine a test gets, when it ends, and what a failure shows."""

import os

import pytest

CANNOT = """
import apmatrix
import pytest

@pytest.fixture
def cannot(monkeypatch):
    def run(*args, **more):
        raise apmatrix.CannotRun("/dev/fuse cannot be opened")
    monkeypatch.setattr(apmatrix.Linux, "run", run)
"""


def test_where_a_machine_comes_from(project):
    test = """
        import apmatrix
        import pytest

        def test_beside(apmatrix_machine):
            assert isinstance(apmatrix_machine, apmatrix.Machine)
            assert apmatrix_machine.name == "apmatrix"

        @pytest.mark.apmatrix("other.toml")
        def test_file(apmatrix_machine):
            assert apmatrix_machine.name == "other"

        @pytest.mark.apmatrix(file="other.toml")
        def test_keyword(apmatrix_machine):
            assert apmatrix_machine.name == "other"

        @pytest.mark.apmatrix(text='''
            [machine]
            name = "inline"
            [[lpar]]
            name = "kvm1"
        ''')
        def test_text(apmatrix_machine):
            assert apmatrix_machine.name == "inline"

        @pytest.mark.apmatrix(
            adapters=[apmatrix.AdapterConfig(7, "CEX8A")], lpars=[apmatrix.LparConfig("a")], name="code"
        )
        class TestClass:
            def test_code(self, apmatrix_machine):
                assert apmatrix_machine.view().adapters[0].number == 7
                assert apmatrix_machine.name == "code"

            @pytest.mark.apmatrix("other.toml", virtual_time=True)
            def test_nearest_marker_and_options(self, apmatrix_machine):
                assert apmatrix_machine.name == "other"
                apmatrix_machine.advance(60)

        @pytest.mark.apmatrix(virtual_time=True)
        def test_options_only(apmatrix_machine):
            assert apmatrix_machine.name == "apmatrix"
            apmatrix_machine.advance(60)
    """
    deep = """
        def test_nearest(apmatrix_machine):
            assert apmatrix_machine.name == "deep-apmatrix"
    """
    project.makepyfile(test_it=test)
    (project.path / "deep/test_deep.py").write_text(deep.replace("        ", "", 1).replace("\n        ", "\n"))
    project.runpytest_subprocess().assert_outcomes(passed=8)


def test_the_ini_file_names_a_machine_for_tests_that_have_none_beside(project):
    (project.path / "apmatrix.toml").unlink()
    project.makefile(".ini", pytest="[pytest]\napmatrix_file = ini/named.toml\n")
    project.makepyfile("def test(apmatrix_machine): assert apmatrix_machine.name == 'ini-named'")
    project.runpytest_subprocess().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "reason"),
    [
        ("", "*apmatrix_machine needs a machine: mark the test with @pytest.mark.apmatrix(...)*"),
        ("@pytest.mark.apmatrix('missing.toml')", "*missing.toml: cannot be read: No such file or directory*"),
        ("@pytest.mark.apmatrix('a', 'b')", "*the marker apmatrix takes one file*"),
        ("@pytest.mark.apmatrix('other.toml', text='')", "*takes a file, or text=, or adapters= and lpars=*"),
        ("@pytest.mark.apmatrix(txt='')", "*the marker apmatrix has no option txt: did you mean text?*"),
        ("@pytest.mark.apmatrix(vitual_time=True)", "*has no option vitual_time: did you mean virtual_time?*"),
        ("@pytest.mark.apmatrix(zzz=1)", "*has no option zzz: it has adapters, allow_refused, *"),
        ("@pytest.mark.apmatrix(text='[[lpar]]')", "*test_it.py::test:1: lpar*0*: the key name is missing*"),
    ],
)
def test_a_test_without_a_usable_machine_is_an_error(project, marker, reason):
    (project.path / "apmatrix.toml").unlink()
    project.makepyfile(test_it=f"import pytest\n{marker}\ndef test(apmatrix_machine): pass")
    result = project.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([reason])


def test_each_test_gets_a_new_machine_that_ends_with_it(project):
    test = """
        seen = []

        def test_one(apmatrix_machine):
            seen.append(apmatrix_machine.lpar())
            seen[0].sysfs.write("bus/ap/apmask", "-5")

        def test_two(apmatrix_machine):
            assert apmatrix_machine.lpar().sysfs.read("bus/ap/apmask") == "0x" + 64 * "f"
            seen.append(apmatrix_machine)
            assert False

        def test_three(apmatrix_machine):
            assert seen[1]._closed
            assert seen[1] is not apmatrix_machine
    """
    project.makepyfile(test)
    project.runpytest_subprocess().assert_outcomes(passed=2, failed=1)


def test_a_failure_shows_what_the_kernels_said_and_what_was_refused(project):
    test = """
        import pytest

        TEXT = '''
            [[adapter]]
            id = 5
            type = "CEX8C"
            [[lpar]]
            name = "kvm1"
            adapters = "5"
            usage_domains = "4,5"
              [lpar.host]
              apmask = "-5"
              [[lpar.guest]]
              name = "guest1"
              adapters = "5"
              domains = "4"
              [[lpar.guest]]
              name = "guest2"
              adapters = "5"
              domains = "4"
        '''

        @pytest.fixture
        def broken(apmatrix_machine):
            refuse(apmatrix_machine)

        def refuse(machine):
            machine.lpar().sysfs.write("bus/ap/apmask", "+5")

        @pytest.mark.apmatrix(text=TEXT, allow_refused=True)
        def test_call(apmatrix_machine):
            refuse(apmatrix_machine)

        @pytest.mark.apmatrix(text=TEXT, allow_refused=True)
        def test_setup(broken):
            pass

        @pytest.mark.apmatrix(text=TEXT, allow_refused=True)
        def test_fine(apmatrix_machine):
            pass
    """
    project.makepyfile(test)
    result = project.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1, errors=1)
    for _ in range(2):
        result.stdout.fnmatch_lines(
            [
                "*- apmatrix: refused when the machine was brought up -*",
                "kvm1: assign_domain 4 for guest2's mdev: EADDRINUSE: *",
                "*- apmatrix: kernel log of kvm1 -*",
                "*Can not reserve queue 05.0004 for host driver: in use by mdev",
            ]
        )
    assert result.stdout.str().count("- apmatrix: kernel log of kvm1 -") == 2


@pytest.mark.parametrize(
    ("options", "outcomes"),
    [((), {"skipped": 3, "passed": 1}), (("--apmatrix-require-run",), {"failed": 2, "errors": 1, "passed": 1})],
)
def test_a_test_that_cannot_run_its_program_is_skipped_or_fails(project, options, outcomes):
    test = """
        import pytest

        @pytest.mark.usefixtures("cannot")
        def test_machine(apmatrix_machine):
            apmatrix_machine.run(["true"])

        @pytest.mark.usefixtures("cannot")
        def test_system(apmatrix_machine):
            apmatrix_machine.system("kvm1").run(["true"])

        @pytest.fixture
        def prepared(cannot, apmatrix_machine):
            apmatrix_machine.run(["true"])

        def test_fixture(prepared):
            pass

        def test_without_a_program(apmatrix_machine):
            pass
    """
    project.makeconftest(CANNOT)
    project.makepyfile(test)
    result = project.runpytest_subprocess("-rs", *options)
    result.assert_outcomes(**outcomes)
    result.stdout.fnmatch_lines(["*/dev/fuse cannot be opened*"])


def test_a_program_runs_on_the_machine_of_a_test(project):
    test = """
        def test(apmatrix_machine, tmp_path):
            done = apmatrix_machine.run(["cat", "/sys/bus/ap/devices/card05/type"], cwd=tmp_path, check=True)
            assert done.stdout == "CEX8C\\n"
    """
    project.makepyfile(test)
    result = project.runpytest_subprocess("-rs")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(["*/dev/fuse cannot be opened*"])
    elif result.parseoutcomes() != {"skipped": 1}:
        result.assert_outcomes(passed=1)


def test_tests_in_several_processes_do_not_meet(project):
    test = """
        import pytest

        @pytest.mark.parametrize("number", range(8))
        def test(apmatrix_machine, number):
            sysfs = apmatrix_machine.lpar().sysfs
            assert sysfs.read("bus/ap/poll_timeout") == "250000"
            sysfs.write("bus/ap/poll_timeout", str(number + 1))
            assert sysfs.read("bus/ap/poll_timeout") == str(number + 1)
    """
    project.makepyfile(test)
    project.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)


def test_the_emulator_is_loaded_only_for_those_who_want_it(project):
    test = """
        import sys

        def test_others():
            loaded = {name for name in sys.modules if name.split(".")[0] in ("apmatrix", "gmpy2", "cryptography")}
            assert loaded == {"apmatrix", "apmatrix.pytest_plugin"}
    """
    project.makepyfile(test)
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_marker_and_the_option_are_listed(project):
    project.runpytest_subprocess("--markers").stdout.fnmatch_lines(
        ["@pytest.mark.apmatrix(file=None, *, text=None, *"]
    )
    project.runpytest_subprocess("--help").stdout.fnmatch_lines(["*--apmatrix-require-run*", "*apmatrix_file *"])


def test_a_failure_shows_the_line_of_the_test_and_none_of_the_api(project):
    project.makepyfile(test_it="def test(apmatrix_machine):\n    apmatrix_machine.guest('nobody')\n")
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">*apmatrix_machine.guest('nobody')", "*UnknownName: there is no guest nobody*"])
    result.stdout.no_fnmatch_line("*api/machine.py*")
