"""libica's own tests (``make check``), in a booted guest with a coprocessor and an accelerator."""

import re

import pytest

from support.cross import PLACE, SHELLS, built, installed, is_program, run
from support.peers import Counted, counts

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1800)]
SKIPPED = 77
LIST = re.compile(r"^TESTS = ((?:.*\\\n)*.*)", re.MULTILINE)

CPACF = {
    *(f"{cipher}_{mode}_test" for cipher in ("des", "tdes", "aes") for mode in ("ecb", "cbc", "ctr", "cfb", "ofb")),
    *("aes_xts_test", "aes_gcm_test", "aes_gcm_kma_test", "cbccs_test", "ccm_test", "cmac_test"),
    *("sha1_test", "sha256_test", "sha2_test.sh"),
}
"""Tests of ciphers and digests that CPACF calculates, of which QEMU has only SHA-512 and random numbers."""
VECTOR = {"mp_test"}
"""Tests of the instruction VECTOR MULTIPLY SUM LOGICAL, which QEMU's processors report but do not execute."""
CARD = {
    *("rsa_test", "rsa_test_x", "rsa_key_check_test", "adapter_handle_test", "icastats_test.sh"),
    *(f"{test}{number}_test.sh" for test in ("ec_keygen", "ecdh", "ecdsa") for number in (1, 2)),
}
"""Tests that need a card, or count what it did."""


@pytest.fixture(scope="module")
def results(session, libica):
    names = LIST.findall((libica / "test/Makefile.am").read_text())[0].replace("\\\n", " ").split()
    programs = [f"test/{path.name}" for path in (libica / "test").iterdir() if is_program(path)]
    files = built(libica, *programs, "test/*.sh", "test/*.pl", "test/testdata/**/*", "src/.libs/*", "src/icastats")
    script = f"""
        mkdir -p {libica.parent}
        ln -s /{PLACE}/libica {libica}
        cd {libica}/test
        export LD_LIBRARY_PATH={libica}/src/.libs PATH={libica}/src/.libs:$PATH LIBICA_TESTDATA=testdata/
        export OPENSSL_s390xcap=nocex
    """
    script += "\n".join(f"run {name} {'perl ' if name.endswith('.pl') else './'}{name}" for name in names)
    return run(session, f"{script}\nrun icainfo icainfo", files | installed(SHELLS))


def supported(icainfo):
    """The algorithms that ``icainfo`` calls available through a card (dynamic hardware)."""
    return {name.strip() for name in re.findall(r"^ *([^|]+?) +\| +yes ", icainfo, re.MULTILINE)}


def test_the_counts(results):
    ran = {name: outcome for name, outcome in results.items() if name != "icainfo"}
    passed = {name for name, outcome in ran.items() if outcome.code == 0}
    unable = {name for name, outcome in ran.items() if outcome.code == SKIPPED} | (CPACF | VECTOR) - passed
    failed = {name: outcome for name, outcome in ran.items() if name not in passed | unable}
    assert counts()["libica/check"] == Counted(len(passed), len(failed), len(unable)), failed


def test_every_test_of_a_card_passes(results):
    assert {name: results[name] for name in CARD if results[name].code} == {}


def test_the_algorithms_of_the_cards_are_found(results):
    wanted = {"ECDH", "ECDSA Sign", "ECDSA Verify", "EC Keygen", "RSA ME", "RSA CRT"}
    assert supported(results["icainfo"].output) == wanted
