"""Eight processes of random operations against one machine, for ``APMATRIX_SOAK`` seconds (60)."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import APMATRIX, ROOT, ClientHost

SECONDS = float(os.environ.get("APMATRIX_SOAK", "60"))
PROCESSES = 8
WORKER = Path(__file__).with_name("soak_worker.py")
CLIENT = ROOT / "tests/faces/zcrypt_client.py"

SCRIPT = f"""
cd /sys
udevadm monitor --kernel --property > /run/events & monitor=$!
sleep 0.5
for number in $(seq {PROCESSES}); do
    {sys.executable} {WORKER} $number {SECONDS} SEED {APMATRIX} {CLIENT} > /run/worker$number 2>&1 &
    workers="$workers $!"
done
for worker in $workers; do wait $worker || echo "worker failed"; done
cat /run/worker*
sleep 0.5
kill $monitor
echo events
cat /run/events
"""


@pytest.mark.timeout(SECONDS * 10 + 240)
def test_soak(tmp_path):
    """No crash, no hang, no wrong errno, no lost event, and the tree agrees with itself at the end."""
    seed = random.randrange(1 << 32)
    host = ClientHost(tmp_path, ROOT / "tests/data/oracle/machine.toml")
    done = subprocess.run(
        [APMATRIX, "run", str(host.file), "--", "bash", "-c", SCRIPT.replace("SEED", str(seed))],
        capture_output=True,
        text=True,
        timeout=SECONDS * 10 + 120,
    )
    out, _, events = done.stdout.partition("\nevents\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", f"seed {seed}"
    assert out.count("finished") == PROCESSES, f"seed {seed}: {out}"
    assert "failed" not in out, f"seed {seed}: {out}"
    # Without user namespaces the computer's own events come along, and may do so out of turn.
    ours = "\n".join(event for event in events.split("\n\n") if "\nDEVPATH=/devices/virtual/" not in event)
    numbers = [int(number) for number in re.findall(r"^SEQNUM=(\d+)$", ours, re.MULTILINE)]
    assert numbers, f"seed {seed}"
    assert numbers == sorted(set(numbers)), f"seed {seed}"
    # Each mdev that was made sent an event when it came and one when it went.
    made = sum(int(count) for count in re.findall(r"made (\d+)", out))
    for action in ("add", "remove"):
        assert (
            len(re.findall(rf"^KERNEL.*\] {action} +/devices/vfio_ap/matrix/[^/\s]+ ", events, re.MULTILINE)) == made
        )
