"""Any file that can be read can be brought up, looked at, explained and demonstrated."""

import io
import json
import os
from contextlib import redirect_stdout
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from apmatrix.arch import Apqn
from apmatrix.cli.drawing import draw
from apmatrix.config import parse
from apmatrix.emulation import Emulation, explain, look
from apmatrix.emulation.demo import Report, tour
from apmatrix.emulation.rsa import RsaKey
from apmatrix.service.protocol.matrix import GetMatrix
from apmatrix.service.protocol.messages import Success, decode_answer, encode

KEY = RsaKey(
    0xFFFFFFFFFFFFFF720000000000001321,
    65537,
    2**64 - 59,
    2**64 - 83,
    0x15B1EA4E15B1EA49,
    0xF0940F6BF0940F1D,
    0x3555555555555549,
)
NUMBERS = st.lists(st.integers(0, 5), max_size=4, unique=True)
TYPES = st.sampled_from(["CEX4A", "CEX8A", "CEX5C", "CEX8C", "CEX8P"])


def masks(draw):
    sign = draw(st.sampled_from(["-", "+"]))
    return ",".join(f"{sign}{number}" for number in draw(NUMBERS))


def host(draw, indent):
    lines = [f"apmask = {json.dumps(masks(draw))}", f"aqmask = {json.dumps(masks(draw))}"]
    if draw(st.integers(0, 5)) == 0:
        lines.append("vfio_ap = false")
    if draw(st.integers(0, 3)) == 0:
        lines.append('policy = "protective"')
    return [f"[{indent}.host]", *lines]


def guests(draw, indent, depth):
    lines = []
    for number in range(draw(st.integers(0, 3 - depth))):
        lines += [
            f"[[{indent}.guest]]",
            f'name = "g{depth}{number}"',
            f"adapters = {draw(NUMBERS)}",
            f"domains = {draw(NUMBERS)}",
            f"control_domains = {draw(NUMBERS)}",
            f"start = {str(draw(st.integers(0, 4)) > 0).lower()}",
            *host(draw, f"{indent}.guest"),
            *(guests(draw, f"{indent}.guest", depth + 1) if depth < 2 else []),
        ]
    return lines


@st.composite
def files(draw):
    lines = [
        "[machine]",
        f"facilities = {draw(st.sampled_from([[12, 15, 76], [12, 15, 65, 76], [12, 15], [15, 76]]))}",
    ]
    for number in draw(NUMBERS):
        state = draw(st.sampled_from(["online", "online", "deconfigured", "checkstopped"]))
        lines += ["[[adapter]]", f"id = {number}", f'type = "{draw(TYPES)}"', f'state = "{state}"']
    for number in range(draw(st.integers(1, 3))):
        lines += [
            "[[lpar]]",
            f'name = "l{number}"',
            f"adapters = {draw(NUMBERS)}",
            f"usage_domains = {draw(NUMBERS)}",
        ]
        lines += host(draw, "lpar") + guests(draw, "lpar", 0)
    return "\n".join(lines)


@settings(max_examples=40, deadline=None)
@given(files())
def test_everything_can_be_done_with_every_machine(text):
    file = parse(text, "f.toml")
    with Emulation.start(file) as emulation:
        view = look(emulation)
        assert decode_answer(encode(Success(view)), GetMatrix) == view
        for width in (40, 120):
            with patch.dict(os.environ, COLUMNS=str(width)), redirect_stdout(io.StringIO()):
                draw(view)
        for names, guest in file.guests():
            for apqn in (*guest.matrix.apqns(), Apqn(9, 9)):
                explanation = explain(emulation, "/".join(names), apqn)
                running = [found.vm.level for found in emulation.guests() if found.names == names and found.vm]
                present = apqn.adapter in emulation.machine.adapters
                usable = bool(running) and apqn in running[0].effective and present
                assert explanation.has == usable, explanation
        report = Report()
        tour(emulation, report, KEY)
        assert not report.failed
        assert look(emulation) == view
