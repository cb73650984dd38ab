"""The demonstration notices what is wrong: each check fails on a machine that does wrong."""

from pathlib import Path

import pytest

from apmatrix.arch import Apqn, Mask
from apmatrix.cards import Filter
from apmatrix.config import load, parse
from apmatrix.emulation import Emulation, programs
from apmatrix.emulation.demo import Report, plugging, tour
from apmatrix.emulation.programs import Program
from apmatrix.emulation.rsa import RsaKey
from apmatrix.machine import Level
from apmatrix.rules.refusals import BadValue

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = RsaKey.generate(1024)


@pytest.fixture
def _impatient(monkeypatch):
    """For machines that are going to fail anyway."""
    monkeypatch.setattr(programs, "PATIENCE", 0.3)


def failed(emulation):
    report = Report()
    tour(emulation, report, KEY)
    return {check.section.split()[0] for check in report.failed}


@pytest.fixture
def emulation():
    with Emulation.start(load(EXAMPLES / "three-guests.toml")) as running:
        yield running


def test_nothing_fails_on_a_good_machine(emulation):
    assert failed(emulation) == set()


@pytest.mark.parametrize("example", ["three-guests", "shared-adapters", "nested"])
def test_nothing_fails_on_protective_hosts(example):
    text = (EXAMPLES / f"{example}.toml").read_text()
    assert text.count(".host]\n") >= 1
    file = parse(text.replace(".host]\n", '.host]\npolicy = "protective"\n'), "f.toml")
    with Emulation.start(file) as running:
        assert failed(running) == set()


class Falsifier(Filter):
    """Turns the last bit of every reply."""

    def reply(self, queue, request, reply):
        return reply[:-1] + bytes((reply[-1] ^ 1,))


@pytest.mark.usefixtures("_impatient")
def test_wrong_results_are_noticed(emulation):
    emulation.machine.adapters[6].filters.add(Falsifier())
    assert failed(emulation) >= {"RSA", "An", "Hot"}


@pytest.mark.usefixtures("_impatient")
def test_a_level_that_sees_more_than_it_should_is_noticed(emulation, monkeypatch):
    honest = Level.right_to
    monkeypatch.setattr(Level, "right_to", lambda level, apqn: honest(level.parent or level, apqn))
    assert "An" in failed(emulation)


@pytest.mark.usefixtures("_impatient")
def test_a_view_with_a_queue_too_few_is_noticed(emulation):
    guest = next(emulation.guests())
    with guest.system.linux.kernel:
        guest.system.linux.ap.queues.pop(Apqn(5, 4))
        guest.system.linux.ap.devices.pop("05.0004")
        guest.system.linux.ap.drivers["cex4queue"].devices.pop("05.0004")
    assert "What" in failed(emulation)


@pytest.mark.usefixtures("_impatient")
def test_another_errno_is_noticed(emulation, monkeypatch):
    policy = emulation.lpars[0].linux.policy

    def refuse(_mdev, _new):
        raise BadValue("no")

    monkeypatch.setattr(policy, "check_assignment", refuse, raising=True)
    assert "What" in failed(emulation)


@pytest.mark.usefixtures("_impatient")
def test_what_is_not_refused_is_noticed(emulation, monkeypatch):
    driver = emulation.lpars[0].linux.vfio_ap.driver
    monkeypatch.setattr(type(driver), "in_use", lambda _driver, _wanted: None)
    report = Report()
    tour(emulation, report, KEY)
    texts = [check.text for check in report.failed]
    assert any(text.startswith("no error") and "back to the host" in text for text in texts)
    assert "nothing changed by all that" in texts


@pytest.mark.usefixtures("_impatient")
def test_masks_of_an_mdev_that_come_back_too_late_are_noticed(emulation, monkeypatch):
    for guest in emulation.guests():
        monkeypatch.setattr(guest.vm.level, "set_matrix", lambda _matrix: None)
    assert Mask.of(6) <= next(emulation.guests()).vm.level.matrix.apm
    assert "Hot" in failed(emulation)


@pytest.mark.usefixtures("_impatient")
def test_a_control_block_that_counts_alone_is_noticed(monkeypatch):
    """Only a guest's guest with a forged control block shows that the levels above are forgotten."""
    monkeypatch.setattr(Level, "effective", property(lambda level: level.matrix))
    with Emulation.start(load(EXAMPLES / "nested.toml")) as running:
        report = Report()
        tour(running, report, KEY)
    assert any("writes all ones into the control block" in check.text for check in report.failed)


@pytest.mark.usefixtures("_impatient")
def test_a_queue_that_fails_under_load_is_noticed(emulation, monkeypatch):
    """The stream on the queue that stays must not see a single error."""
    honest = Program.trouble

    def trouble(program, apqn, question):
        if apqn == Apqn(5, 4):
            asked.append(apqn)
            if len(asked) % 2 == 0:  # the demonstration waits for more right results than one
                return "spoilt"
        return honest(program, apqn, question)

    asked = []
    monkeypatch.setattr(Program, "trouble", trouble)
    report = Report()
    plugging.plug(emulation, KEY, report)
    assert "05.0004 keeps working, undisturbed" in [check.text for check in report.failed] or any(
        "none was wrong" in check.text for check in report.failed
    )
