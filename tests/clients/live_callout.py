#!/usr/bin/env python3
"""A callout for mdevctl 1.4, as ap-check is one but without its checks: what was changed is left to the kernel."""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

ASSIGNMENTS = ("assign_adapter", "assign_domain", "assign_control_domain")


def mask(numbers):
    return f"0x{sum(1 << 255 - number for number in numbers):064x}"


def change(device, definition):
    """Give a running device the matrix of a definition; the exit code."""
    numbers = defaultdict[str, set[int]](set)
    for attribute in definition["attrs"]:
        for name, value in attribute.items():
            numbers[name].update(int(number, 0) for number in value.split(","))
    try:
        (device / "ap_config").write_text(",".join(mask(numbers[name]) for name in ASSIGNMENTS))
    except OSError as error:
        print(f"ap_config: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def attributes(device):
    """The matrix of a running device, as a definition has it."""
    queues = [line.split(".") for line in (device / "matrix").read_text().split()]
    found = (
        sorted({queue[0] for queue in queues if queue[0]}),
        sorted({queue[1] for queue in queues if queue[1]}),
        (device / "control_domains").read_text().split(),
    )
    return [{name: str(int(number, 16))} for name, list_ in zip(ASSIGNMENTS, found, strict=True) for number in list_]


def main():
    parser = argparse.ArgumentParser()
    for letter in "teasup":
        parser.add_argument(f"-{letter}")
    options = parser.parse_args()
    if options.t != "vfio_ap-passthrough":
        return 2
    device = Path("/sys/bus/mdev/devices", options.u)
    match options.e, options.a:
        case "get", "capabilities":
            print(json.dumps({"supports": json.load(sys.stdin)["provides"]}))
        case "get", "attributes":
            print(json.dumps(attributes(device)))
        case "live", "modify":
            return change(device, json.load(sys.stdin))
    return 0


if __name__ == "__main__":
    sys.exit(main())
