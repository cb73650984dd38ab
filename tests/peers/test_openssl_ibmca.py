"""The tests of openssl-ibmca's provider, in a booted guest with a coprocessor and an accelerator."""

import pytest

from support.cross import PLACE, built, run
from support.peers import Counted, copy, counts

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1800)]
SKIPPED = 77
PROGRAMS = ("eckey", "dhkey", "threadtest")
"""The programs without rsakey. It takes too long, as do the Perl scripts, which start OpenSSL hundreds of times."""


@pytest.fixture(scope="module")
def results(session, cross, libica, tmp_path_factory):
    tree = copy("openssl-ibmca", tmp_path_factory.mktemp("openssl-ibmca"))
    options = f'CPPFLAGS="-I{libica}/include" LDFLAGS="-L{libica}/src/.libs" --enable-provider --disable-engine'
    configure = f'./configure --host=s390x-linux-gnu CC="$CC" {options}'
    cross.build(tree, "./bootstrap.sh", configure, "make -j2", "make -j2 check TESTS=")
    files = built(tree, "src/provider/.libs/*.so", "test/provider/*") | built(libica, "src/.libs/libica*.so.4")
    place = f"/{PLACE}/openssl-ibmca"
    script = f"""
        cd {place}/test/provider
        export LD_LIBRARY_PATH=/{PLACE}/libica/src/.libs IBMCA_TEST_PATH={place}/src/provider/.libs/
        export IBMCA_OPENSSL_TEST_CONF={place}/test/provider/openssl-test.cnf
    """
    script += "\n".join(f"run {name} ./{name}" for name in PROGRAMS)
    return run(session, script, files, limit=300)


def test_the_counts(results):
    passed = {name for name, outcome in results.items() if outcome.code == 0}
    unable = {name for name, outcome in results.items() if outcome.code == SKIPPED}
    failed = {name: outcome for name, outcome in results.items() if name not in passed | unable}
    assert counts()["openssl-ibmca/provider"] == Counted(len(passed), len(failed), len(unable)), failed
