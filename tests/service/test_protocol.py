"""Messages between machines and clients: each survives the way, and rubbish harms nobody."""

import os
import socket
from dataclasses import is_dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmatrix.arch import Mask
from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service.client import Client
from apmatrix.service.connection import Connection
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.operations import OPERATIONS
from apmatrix.service.protocol.events import Happened
from apmatrix.service.protocol.guests import ListGuests, StartGuest
from apmatrix.service.protocol.keys import LoadKey
from apmatrix.service.protocol.lines import Lines, LongLine
from apmatrix.service.protocol.machine import GetStatus
from apmatrix.service.protocol.messages import (
    LONGEST_REQUEST,
    MachineRequest,
    Problem,
    Success,
    answer_type,
    decode_answer,
    decode_plain,
    decode_request,
    encode,
    operation,
)
from apmatrix.service.server import MachineServer

FILE = '[[adapter]]\nid = 5\ntype = "CEX8A"\n[[lpar]]\nname = "lpar"\nadapters = "5"\nusage_domains = "4"\n'
MASKS = st.integers(0, (1 << 256) - 1).map(Mask)


def structs(kind):
    """Any value of a class of the protocol, from the types of its fields."""
    return st.builds(kind, **{field.name: st.from_type(field.type) for field in msgspec.structs.fields(kind)})


def known_requests():
    """What a machine answers: the operations, and the requests that belong to a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Emulation.start(parse(FILE, "machine.toml")) as emulation:
        return Connection(MachineServer(emulation), theirs, None)._known


def every(kind):
    """All classes below one that can be sent."""
    for below in kind.__subclasses__():
        yield from every(below)
        if not below.__subclasses__():
            yield below


st.register_type_strategy(Mask, MASKS)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(int, st.integers(0, (1 << 63) - 1))
st.register_type_strategy(msgspec.Struct, structs)
KNOWN = known_requests()


def test_a_machine_answers_every_request_of_the_protocol():
    assert set(KNOWN) == set(every(MachineRequest))
    assert len({operation(kind) for kind in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("kind", KNOWN, ids=operation)
def test_a_request_arrives_as_it_was_sent(kind):
    @settings(max_examples=40)
    @given(st.from_type(kind))
    def arrives(request):
        line = encode(request)
        assert b"\n" not in line
        again = decode_request(line, KNOWN)
        assert again == request
        assert type(again) is kind

    arrives()


@pytest.mark.parametrize("kind", KNOWN, ids=operation)
def test_an_answer_arrives_as_it_was_sent(kind):
    @settings(max_examples=15)
    @given(st.from_type(answer_type(kind)))
    def arrives(answer):
        line = encode(Success(answer))
        assert b"\n" not in line
        assert decode_answer(line, kind) == answer

    arrives()


@given(st.from_type(Happened))
def test_an_event_arrives_as_it_was_sent(happened):
    assert decode_plain(encode(happened), Happened) == happened


@given(st.text(), st.sampled_from(ExitCode))
def test_a_problem_is_an_error_with_its_exit_code(sentence, code):
    with pytest.raises(ControlError) as caught:
        decode_answer(encode(Problem(sentence, code)), ListGuests)
    assert (str(caught.value), caught.value.code) == (sentence, code)


@pytest.mark.parametrize("function", OPERATIONS.values(), ids=[operation(kind) for kind in OPERATIONS])
def test_an_operation_gets_and_returns_what_its_request_says(function):
    (kind,) = (kind for kind, registered in OPERATIONS.items() if registered is function)
    names = function.__annotations__
    assert names[list(names)[1]] == kind.__name__
    written = names["return"].replace(" ", "")
    promised = answer_type(kind)
    simple = promised.__name__ if isinstance(promised, type) else str(promised)
    assert written.split("[")[0].lower() in simple.lower() or (written, promised) == ("None", None)


def test_key_parts_are_in_no_representation():
    request = LoadKey(domains=Mask.of(4), key_set="AES", parts=(b"secretsecret",))
    assert "secret" not in repr(request)


SENTENCES = [
    (b"", "a request is a JSON object with an operation in op: input data was truncated"),
    (b"nonsense", "a request is a JSON object with an operation in op: JSON is malformed"),
    (b"[1]", "a request is a JSON object with an operation in op: expected object, got array"),
    (b"{}", "a request is a JSON object with an operation in op: object missing required field op"),
    (b'{"op": 5}', "a request is a JSON object with an operation in op: op: expected str"),
    (b"\xff\xfe", "a request is a JSON object with an operation in op: JSON is malformed"),
    (b"[" * 100_000, "a request is a JSON object"),
    (b'{"op": "list-guests", "x": ' + b"[" * 100_000, "a request is a JSON object"),
    (b'{"op": "unheard-of"}', "the machine does not know the request unheard-of"),
    (b'{"op": "start-guest"}', "request start-guest: object missing required field name"),
    (b'{"op": "start-guest", "name": 5}', "request start-guest: name: expected str, got int"),
    (b'{"op": "start-guest", "name": "x", "now": 1}', "request start-guest: object contains unknown field now"),
    (
        b'{"op": "set-profile", "lpar": "lpar", "adapters": "300"}',
        "request set-profile: adapters: 300 is outside 0-255",
    ),
    (b'{"op": "set-profile", "lpar": "lpar", "adapters": [5]}', "request set-profile: adapters: [5] is not a list"),
    (b'{"op": "set-adapter-state", "adapter": 5, "state": "on"}', "request set-adapter-state: state: invalid enum"),
    (b'{"op": "set-adapter-state", "adapter": 77, "state": "online"}', "there is no adapter 77 in machine: 5"),
    (b'{"op": "execute-instruction", "frame": -1, "kernel_asce": 0, "user_asce": 0}', "frame: expected int >= 0"),
    (b'{"op": "attach"}', "request attach: 5 file descriptors expected, 0 came"),
    (b'{"op": "share-storage", "size": 4096}', "request share-storage: 1 file descriptors expected, 0 came"),
    (b'{"op": "give-etc", "comes": true}', "request give-etc: 1 file descriptors expected, 0 came"),
    (b'{"op": "take-etc"}', "this connection has no sandbox yet"),
]


@pytest.fixture
def machine():
    """A server, and a client's end of a connection to it."""
    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    with ours, Emulation.start(parse(FILE, "machine.toml")) as emulation:
        server = MachineServer(emulation)
        server.serve(theirs)
        yield server, ours


def problem(lines):
    """The next answer, which is not a success."""
    return msgspec.json.decode(lines.receive() or b"", type=Problem)


@pytest.mark.parametrize(("line", "sentence"), SENTENCES, ids=[str(line[:50]) for line, _ in SENTENCES])
def test_what_makes_no_sense_is_answered_with_a_sentence(machine, line, sentence):
    _, ours = machine
    ours.sendall(line + b"\n")
    answer = problem(Lines(ours))
    assert sentence in answer.sentence
    assert "\n" not in answer.sentence
    assert "Traceback" not in answer.sentence
    assert len(answer.sentence) < 300
    assert Client(ours).ask(ListGuests()) == ()


def test_whatever_bytes_come_the_next_request_is_answered(machine):
    _, ours = machine

    @given(st.lists(st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")), max_size=5))
    def answered(junk):
        lines = Lines(ours)
        for data in junk:
            lines.send(data)
            assert problem(lines).code is ExitCode.UNREADABLE
        assert Client(ours).ask(GetStatus()).machine == "machine"

    answered()


def test_a_line_without_an_end_is_answered_and_closed(machine):
    server, ours = machine
    ours.sendall(b"x" * (LONGEST_REQUEST + 1))
    lines = Lines(ours)
    answer = problem(lines)
    assert (answer.sentence, answer.code) == (f"a request may have {LONGEST_REQUEST} bytes", ExitCode.UNREADABLE)
    assert lines.receive() is None
    again, theirs = socket.socketpair()
    server.serve(theirs)
    with Client(again) as client:
        assert client.ask(ListGuests()) == ()


def test_a_line_may_be_as_long_as_the_limit():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lines = Lines(theirs, longest=10)
        ours.sendall(b"1234567890\nabcde\nx12345678901")
        assert [lines.receive(), lines.receive()] == [b"1234567890", b"abcde"]
        with pytest.raises(LongLine):
            lines.receive()
    assert len(encode(StartGuest("x" * (LONGEST_REQUEST - 100)))) <= LONGEST_REQUEST


def test_descriptors_that_nobody_takes_are_closed():
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    with ours, theirs:
        lines = Lines(theirs)
        for _ in range(3):
            Lines(ours).send(b"{}", [writing] * 5)
            assert lines.receive() == b"{}"
        os.close(writing)
        os.set_blocking(reading, False)
        with pytest.raises(BlockingIOError):  # some are kept, for a request that may take them
            os.read(reading, 1)
        lines.close()
        assert os.read(reading, 1) == b""  # every copy of the other end is closed
    os.close(reading)


def test_descriptors_come_with_their_line_and_end_with_it():
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with ours, theirs:
        sender, lines = Lines(ours), Lines(theirs)
        sender.send(b"first")
        sender.send(b"second", [writing] * 5)
        sender.send(b"third")
        os.close(writing)
        assert lines.receive() == b"first"
        with pytest.raises(ValueError, match="5 file descriptors expected"):
            lines.take_descriptors(5)
        assert lines.receive() == b"second"
        assert lines.receive() == b"third"
        assert os.read(reading, 1) == b""  # what came with the second is closed
        lines.close()
    os.close(reading)


def test_an_error_of_the_machine_itself_ends_no_connection(machine, monkeypatch, caplog):
    def fails(*_):
        raise AssertionError("not meant to happen")

    monkeypatch.setitem(OPERATIONS, StartGuest, fails)
    _, ours = machine
    client = Client(ours)
    with pytest.raises(ControlError, match=r"^request start-guest: an internal error, see the log of the machine$"):
        client.ask(StartGuest("x"))
    assert "not meant to happen" in caplog.text
    assert client.ask(ListGuests()) == ()


def test_a_name_that_is_no_text_is_a_sentence(machine):
    with pytest.raises(ControlError, match="is not UTF-8") as caught:
        Client(machine[1]).ask(StartGuest("\udcff"))
    assert caught.value.code is ExitCode.UNREADABLE


@pytest.mark.parametrize(
    "line", [b"nonsense", b'{"answer": "result"}', b'{"answer": "else"}', b'{"answer":"result","result":[1]}']
)
def test_an_answer_that_makes_no_sense_is_a_sentence(line):
    with pytest.raises(ControlError, match=r"^the machine sent what this program does not understand: "):
        decode_answer(line, ListGuests)


def test_the_types_of_the_protocol_are_values():
    for kind in (*KNOWN, Happened):
        assert is_dataclass(kind) or kind.__struct_config__.frozen
