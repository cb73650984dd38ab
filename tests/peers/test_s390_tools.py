"""zkey of s390-tools with the kernel's pkey modules, in a booted guest with CCA and EP11 coprocessors."""

import os
from pathlib import Path

import pytest

from apmatrix.arch import CardType, Mask, Matrix
from support import cca, ep11
from support.cross import run
from support.guests import Session
from support.peers import VARIABLE, Counted, copy, counts

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]
DOMAIN = 6
KERNEL = "pkey-kernel"
LIBRARIES = ("libcryptsetup-dev", "libcryptsetup12")

TYPES = ("CCA-AESDATA", "CCA-AESCIPHER", "EP11-AES")
SIZES = {"CCA-AESDATA": 64, "CCA-AESCIPHER": 136, "EP11-AES": 336}
"""The octets of a secure key, which its file has once, or twice for XTS."""
MADE = {f"{kind}-{bits}": SIZES[kind] for kind in TYPES for bits in (128, 192, 256)}
CLEAR = {f"{kind}-clear": SIZES[kind] for kind in TYPES}
XTS = {f"{kind}-xts": 2 * SIZES[kind] for kind in TYPES}
KEYS = MADE | CLEAR | XTS
ATTRIBUTES = {
    f"{place}/{prefix}_aes_{bits}": size * (2 if bits.endswith("xts") else 1)
    for place, prefix, size in (("ccadata", "ccadata", 64), ("ccacipher", "ccacipher", 136), ("ep11", "ep11", 336))
    for bits in ("128", "192", "256", "128_xts", "256_xts")
}
"""What pkey generates when they are read (Linux, drivers/s390/crypto/pkey_sysfs.c)."""


@pytest.fixture(scope="module")
def kernel():
    """A kernel with pkey, which Debian's kernels lack."""
    path = Path(os.environ.get(VARIABLE, "")).expanduser() / KERNEL
    if not path.is_file():
        pytest.skip(f"there is no {KERNEL} in the directory that {VARIABLE} names, and Debian's kernels lack pkey")
    return str(path.resolve())


@pytest.fixture(scope="module")
def results(kernel, make_cross, tmp_path_factory):
    tree = copy("s390-tools", tmp_path_factory.mktemp("s390-tools"))
    without = "HAVE_LIBCURL=0 HAVE_JSONC=0 HAVE_LIBUDEV=0"
    cross = make_cross(*LIBRARIES)
    cross.build(tree, f'make -C zkey CC="$CC" HOST_ARCH=s390x CROSS_COMPILE=s390x-linux-gnu- {without} zkey')
    made = Session(tmp_path_factory.mktemp("machine"))
    for key_set in (b"AES", b"APKA"):
        cca.set_master_key(made.machine.adapters[5], key_set, domain=DOMAIN)
    ep11.set_wrapping_key(made.machine.add_adapter(7, CardType.parse("CEX8P")), bytes(range(32)), DOMAIN)
    made.level = made.add("kvm1-keys", Matrix(Mask.of(5, 7), Mask.of(DOMAIN), Mask.of(DOMAIN)))
    try:
        files = {"usr/bin/zkey": (tree / "zkey/zkey").read_bytes()}
        return run(made, script(), files, "libcryptsetup12", "libudev1", kernel=kernel)
    finally:
        made.machine.close()


def script():
    lines = ["cd /tmp", "dd if=/dev/urandom of=clear bs=32 count=1"]
    for kind in TYPES:
        options = {f"{kind}-{bits}": f"--keybits {bits}" for bits in (128, 192, 256)}
        options |= {f"{kind}-clear": "--clearkey clear", f"{kind}-xts": "--xts --keybits 256"}
        lines += [
            f"run generate/{key} zkey generate {key} --key-type {kind} {option}" for key, option in options.items()
        ]
    lines += [f"run validate/{key} zkey validate {key}" for key in KEYS]
    lines += [f"run size/{key} sh -c 'wc -c < {key}'" for key in KEYS]
    lines += [f"run size/{name} sh -c 'cat /sys/devices/virtual/misc/pkey/{name} | wc -c'" for name in ATTRIBUTES]
    return "\n".join(lines)


def test_the_counts(results):
    generated = [results[f"generate/{key}"] for key in KEYS]
    passed = sum(outcome.code == 0 for outcome in generated)
    unable = [key for key in KEYS if results[f"validate/{key}"].code]
    assert counts()["s390-tools/zkey"] == Counted(passed, len(generated) - passed, len(unable))


@pytest.mark.parametrize("key", KEYS)
def test_a_key_has_its_size(results, key):
    assert results[f"size/{key}"].output.strip() == str(KEYS[key]), results[f"generate/{key}"].output


@pytest.mark.parametrize("key", KEYS)
def test_validation_goes_as_far_as_the_kernel_lets_it(results, key):
    """The card knows the key; then zkey encrypts with it through AF_ALG, which the kernel lacks."""
    assert "Failed to generate the verification pattern" in results[f"validate/{key}"].output


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_pkey_generates_keys_for_readers(results, name):
    assert results[f"size/{name}"].output.strip() == str(ATTRIBUTES[name])
