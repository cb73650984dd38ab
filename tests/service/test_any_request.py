"""Whatever a client asks for, it is answered with a result or a sentence, and so is its next request."""

import logging
import socket

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service.connection import Connection
from apmatrix.service.protocol.events import Subscribe
from apmatrix.service.protocol.lines import Lines
from apmatrix.service.protocol.messages import Problem, operation
from apmatrix.service.server import MachineServer
from support.running import KEYS

NUMBERS = st.one_of(
    st.integers(-2, 300),
    st.sampled_from([1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 100, -(1 << 63), 10**400]),
)
WORDS = (
    " kvm1 guest1 kvm1/guest1 kvm1/guest2 / a/b .. 5 5,6 4-7 6-5 0-255 256 -1 0x40 5, \0 \ud7ff é c2VjcmV0 "
    "AES WK first commit online checkstopped reply=0x90 delay=1e400 delay=nan times=-1 verb=XX a=b "
    "/nonexistent/x /proc/self/mem /dev/zero /dev/null 62177883-f1bb-47f0-914d-32a22e3a8804"
)
TEXTS = st.one_of(st.sampled_from([*WORDS.split(" "), "adapter=5 lose=gone"]), st.text(max_size=20))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(allow_nan=False, allow_infinity=False), TEXTS),
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(st.text(max_size=5), below, max_size=3)),
    max_leaves=6,
)
APQNS = st.lists(NUMBERS, min_size=1, max_size=3)


def known_requests():
    ours, theirs = socket.socketpair()
    with ours, theirs, Emulation.start(parse(KEYS, "machine.toml")) as emulation:
        known = Connection(MachineServer(emulation), theirs, None)._known
    return sorted((kind for kind in known if kind is not Subscribe), key=operation)


def asked(kind):
    """Requests of a kind whose fields have any value, and often one that fits."""
    fields = msgspec.structs.fields(kind)
    needed = {field.encode_name: field.required for field in fields}
    values = {
        name: st.one_of(TEXTS, NUMBERS, st.none(), st.booleans(), st.lists(TEXTS, max_size=3), APQNS, JSON)
        for name in needed
    }
    required = {name: strategy for name, strategy in values.items() if needed[name]}
    optional = {name: strategy for name, strategy in values.items() if not needed[name]}
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: given | {"op": operation(kind)})


@pytest.mark.parametrize("kind", known_requests(), ids=operation)
def test_any_request_is_answered(kind, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.WARNING)
    with Emulation.start(parse(KEYS, "machine.toml")) as emulation:
        server = MachineServer(emulation)

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(asked(kind))
        def answered(request):
            ours, theirs = socket.socketpair()
            with ours:
                ours.settimeout(60)
                server.serve(theirs)
                lines = Lines(ours)
                lines.send(msgspec.json.encode(request))
                line = lines.receive()
                assert line is not None, request
                answer = msgspec.json.decode(line)
                assert answer["answer"] in ("result", "problem")
                if answer["answer"] == "problem":
                    problem = msgspec.json.decode(line, type=Problem)
                    assert "internal error" not in problem.sentence, (request, caplog.text)
                    assert "\n" not in problem.sentence
                lines.send(b'{"op": "list-guests"}')
                assert b'"answer":"result"' in (lines.receive() or b""), request

        answered()
        server.close()
    assert not [record for record in caplog.records if record.name.startswith("apmatrix.service")]
