"""`apmatrix rule`, in a checkout and from the installed wheel."""

import json
import re

import pytest
from click.testing import CliRunner

from apmatrix.cli.main import main
from apmatrix.rules.reference import reference
from support.running import command
from support.wheel import installed, run_installed


def rule(*words):
    return CliRunner().invoke(main, ["rule", *words])


def test_rules_are_printed_with_their_place_in_the_order_asked_for():
    output = rule("bus-21", "mtx-22").stdout
    assert output == (
        "BUS-21 (host.md 1.3, Ownership rule)\n\n"
        "Card devices are not subject to masks: they always bind to cex4card.\n\n"
        "MTX-22 (host.md 3.4, assign_adapter (WO))\n\n"
        "Not checked: existence of adapter/domain/queue (over-provisioning allowed), being bound to vfio_ap,"
        " config/checkstop state.\n"
    )


def test_a_section_without_its_document_is_printed_from_both():
    output = rule("1.4").stdout
    assert output.startswith("host.md 1.4, Writing apmask / aqmask\n\nBUS-30 First character")
    assert "\n\nhardware.md 1.4, Response codes\n\n| rc | name |" in output


def test_json():
    (found,) = json.loads(rule("--json", "MTX-21b").stdout)["passages"]
    assert found.keys() == {"name", "document", "section", "title", "text"}
    assert (found["name"], found["section"]) == ("MTX-21", "3.4")
    listed = json.loads(rule("--json").stdout)
    assert [len(group["rules"]) for group in listed["groups"] if group["name"] == "CFG"] == [7]
    assert {"document": "hardware.md", "section": "7", "title": "SIE and virtualization"} in listed["sections"]


def test_alone_it_lists_groups_and_sections():
    lines = [line.split() for line in rule().stdout.splitlines()]
    assert ["MTX-1", "to", "93", "vfio_ap", "host.md", "3"] in lines
    assert ["hardware.md", "7", "SIE", "and", "virtualization"] in lines


@pytest.mark.parametrize("words", [("mtx-24",), ("BUS-20", "bus-22")])
def test_an_unknown_rule_is_one_sentence_and_exit_code_2(words):
    result = rule(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"apmatrix: the reference has no {words[-1]}: the nearest are ")
    assert result.stderr.count("\n") == 1


def test_the_wheel_has_the_reference(tmp_path):
    done = run_installed(installed(tmp_path), "rule", "--json", "MTX-21", "hardware.md", "7.2")
    assert done.returncode == 0, done.stderr
    texts = [passage["text"] for passage in json.loads(done.stdout)["passages"]]
    assert texts == [passage.text for passage in reference().look_up(["MTX-21", "hardware.md 7.2"])]
    assert (tmp_path / "site" / "apmatrix" / "reference" / "host.md").exists()
    assert (tmp_path / "site" / "apmatrix" / "reference" / "schema" / "show.json").exists()


@pytest.mark.parametrize(("name", "near"), [("V9999", "V"), ("k0", "K1, K2, K3"), ("mv-99", "MV-")])
def test_the_nearest_vectors_are_named(name, near):
    assert f"the nearest are {near}" in command("rule", name, code=2).stderr


def test_lines_that_end_within_a_sentence_are_joined_before_they_are_folded(monkeypatch):
    whole = rule("BUS-20").stdout
    assert "iff apmask[APID]=1\nAND" in whole
    monkeypatch.setenv("COLUMNS", "60")
    folded = rule("BUS-20").stdout
    assert "iff apmask[APID]=1 AND\naqmask[APQI]=1." in folded
    assert folded.split() == whole.split()


@pytest.mark.parametrize("name", ["2.1", "8.3", "V46"])
def test_tables_and_listings_keep_their_lines(name, monkeypatch):
    whole = rule(name).stdout.splitlines()
    monkeypatch.setenv("COLUMNS", "5000")
    folded = rule(name).stdout.splitlines()
    kept = [line for line in whole if re.match(r"[|`[0-9]", line)]
    assert kept
    assert [line for line in folded if line in kept] == kept
