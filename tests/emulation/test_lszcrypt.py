"""The lines of lszcrypt -V, from the attributes of the system."""

import pytest

from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.hosts import lszcrypt

FILE = """
[[adapter]]
id = 2
type = "CEX7A"
[[adapter]]
id = 5
type = "CEX8C"
functions = 0x93800000
[[adapter]]
id = 10
type = "CEX8P"
depth = 4
state = "deconfigured"
[[lpar]]
name = "kvm1"
adapters = "2,5,10"
usage_domains = "6,0x33"
  [lpar.host]
  aqmask = "-0x33"
  [[lpar.guest]]
  name = "guest1"
  adapters = "5"
  domains = "0x33"
"""


@pytest.fixture
def admin():
    with Emulation.start(parse(FILE, "f.toml")) as emulation:
        yield emulation.lpars[0].shell


def test_cards_and_queues_with_their_state(admin):
    admin.write("devices/ap/card02/02.0006/online", "0")
    admin.write("devices/ap/card05/request_count", "0")
    admin.write("bus/ap/drivers/vfio_ap/unbind", "02.0033")
    assert lszcrypt.table(list(lszcrypt.rows(admin))) == [
        "CARD.DOM TYPE  MODE        STATUS     REQUESTS  PENDING HWTYPE QDEPTH FUNCTIONS  DRIVER",
        "02       CEX7A Accelerator online            0        0     13     08 -MC-A-N-F- cex4card",
        "02.0006  CEX7A Accelerator offline           0        0     13     08 -MC-A-N-F- cex4queue",
        "02.0033  CEX7A Accelerator -                 -        0     13     08 -MC-A-N-F- -no-driver-",
        "05       CEX8C CCA-Coproc  online            0        0     14     08 S--D--NHF- cex4card",
        "05.0006  CEX8C CCA-Coproc  online            0        0     14     08 S--D--NHF- cex4queue",
        "05.0033  CEX8C CCA-Coproc  in use            -        0     14     08 S--D--NHF- vfio_ap",
        "0a       CEX8P EP11-Coproc deconfig          0        0     14     04 -----XN-F- cex4card",
        "0a.0006  CEX8P EP11-Coproc deconfig          0        0     14     04 -----XN-F- cex4queue",
        "0a.0033  CEX8P EP11-Coproc deconfig          -        0     14     04 -----XN-F- vfio_ap",
    ]
