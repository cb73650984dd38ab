"""The GDB client against a scripted peer."""

import socket
import threading

import pytest

from apmatrix.faces.gdb import (
    Break,
    Disconnected,
    Garbled,
    GdbClient,
    NoAnswer,
    Stop,
    StubError,
    TargetState,
    Unsupported,
    WrongState,
)
from apmatrix.faces.gdb.wire import encode


class Peer:
    """A stub that expects exact bytes and answers each with exact pieces."""

    def __init__(self, *script):
        self.ours, theirs = socket.socketpair()
        self.problem = None
        self.thread = threading.Thread(target=self.run, args=(theirs, script), daemon=True)
        self.thread.start()

    def run(self, connection, script):
        connection.settimeout(5)
        try:
            for expected, *answers in script:
                got = b""
                while len(got) < len(expected):
                    data = connection.recv(len(expected) - len(got))
                    assert data, f"the client left instead of {expected!r}"
                    got += data
                assert got == expected
                for answer in answers:
                    connection.sendall(answer)
            connection.close()
        except Exception as error:
            self.problem = error
            connection.close()

    def __enter__(self):
        return GdbClient(self.ours, timeout=5)

    def __exit__(self, kind, *_):
        self.thread.join(5)
        self.ours.close()
        if kind is None:
            assert self.problem is None


def told(payload: bytes, *answers: bytes) -> tuple[bytes, ...]:
    """A command that the peer acknowledges and answers, and our acknowledgement."""
    return encode(payload), b"+", *(encode(answer) for answer in answers)


def acked(payload: bytes, answer: bytes) -> list[tuple[bytes, ...]]:
    return [told(payload, answer), (b"+",)]


XML = b'l<target><xi:include href="core.xml"/></target>'
CORE = b'l<feature><reg name="pswm" bitsize="64"/><reg name="pswa"/><reg name="r0"/></feature>'
DESCRIBED = [
    *acked(b"qXfer:features:read:target.xml:0,400", XML),
    *acked(b"qXfer:features:read:core.xml:0,400", CORE),
]


def test_start_without_acknowledgements():
    peer = Peer(
        told(b"qSupported:xmlRegisters=s390;vContSupported+", b"PacketSize=1000;QStartNoAckMode+"),
        (b"+" + encode(b"QStartNoAckMode"), b"+", encode(b"OK")),
        (b"+" + encode(b"?"), encode(b"S05")),
    )
    with peer as client:
        client.start()
        assert client.exchange(b"?") == b"S05"


def test_registers_by_name():
    script = [*DESCRIBED, *acked(b"p1", b"0000000000010000"), *acked(b"P1=00000000deadbeef", b"OK")]
    with Peer(*script) as client:
        assert client.read_register("pswa") == 0x10000
        client.write_register("pswa", 0xDEADBEEF)
        with pytest.raises(Unsupported, match="no register cr1"):
            client.read_register("cr1")


def test_memory_goes_in_pieces():
    first, second = bytes(range(256)) * 4, b"tail"
    script = [
        *acked(b"m1000,400", first.hex().encode()),
        *acked(b"m1400,4", second.hex().encode()),
        *acked(b"M20,2:0102", b"OK"),
    ]
    with Peer(*script) as client:
        assert client.read_memory(0x1000, 1028) == first + second
        client.write_memory(0x20, b"\1\2")


def test_short_memory_is_no_memory():
    with Peer(*acked(b"m0,4", b"0102")) as client, pytest.raises(StubError, match="reading 4 bytes"):
        client.read_memory(0, 4)


def test_answer_byte_by_byte():
    answer = encode(b"m1,2")
    pieces = [bytes((byte,)) for byte in b"+" + answer]
    with Peer(
        (encode(b"qfThreadInfo"), *pieces), (b"+",), *acked(b"qsThreadInfo", b"m3"), *acked(b"qsThreadInfo", b"l")
    ) as client:
        assert client.threads() == ["1", "2", "3"]


def test_damaged_answer_is_asked_for_again():
    script = [(encode(b"?"), b"+", b"$S05#00"), (b"-", encode(b"S05")), (b"+",)]
    with Peer(*script) as client:
        assert client.exchange(b"?") == b"S05"


def test_command_is_sent_again_until_received():
    script = [(encode(b"?"), b"-"), (encode(b"?"), b"-"), (encode(b"?"), b"+", encode(b"S05")), (b"+",)]
    with Peer(*script) as client:
        assert client.exchange(b"?") == b"S05"


def test_retransmission_has_an_end():
    with Peer(*[(encode(b"?"), b"-")] * 4) as client, pytest.raises(Garbled, match="in 4 tries"):
        client.exchange(b"?")
    script = [(encode(b"?"), b"+", b"$S05#00"), *[(b"-", b"$S05#00")] * 3, (b"-",)]
    with Peer(*script) as client, pytest.raises(Garbled, match="4 damaged packets"):
        client.exchange(b"?")


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"E0e", StubError, "refused Z0 with error 0e"),
        (b"", Unsupported, "does not know Z0"),
        (b"what", Garbled, "instead of OK"),
    ],
)
def test_error_replies(answer, kind, text):
    with Peer(*acked(b"Z0,10000,2", answer)) as client, pytest.raises(kind, match=text):
        client.insert(Break.SOFTWARE, 0x10000)


def test_select_is_sent_once_per_stop():
    script = [*acked(b"Hgp01.02", b"OK"), told(b"vCont;c"), (b"", encode(b"T05thread:p01.01;"))]
    script += [(b"+",), *acked(b"Hgp01.02", b"OK")]
    with Peer(*script) as client:
        client.select("p01.02")
        client.select("p01.02")
        client.resume()
        assert client.wait(5) == Stop(5, "p01.01")
        client.select("p01.02")


def test_interrupt_and_the_guard_of_the_state():
    script = [told(b"vCont;c"), (b"\x03", encode(b"T02thread:p01.02;watch:1d8;")), (b"+",)]
    with Peer(*script) as client:
        with pytest.raises(WrongState):
            client.wait(0)
        client.resume()
        with pytest.raises(WrongState, match="needs a stopped target, this one is running"):
            client.exchange(b"?")
        assert client.wait(0.01) is None
        client.interrupt()
        assert client.wait(5) == Stop(2, "p01.02", watched=0x1D8)
        assert client.state is TargetState.STOPPED


def test_step_names_its_thread_and_console_text_is_no_stop():
    script = [told(b"vCont;s:p01.02"), (b"", encode(b"O48")), (b"+", encode(b"S05")), (b"+",)]
    with Peer(*script) as client:
        client.step("p01.02")
        assert client.wait(5) == Stop(5)


def test_last_word_of_a_peer_that_is_gone_counts():
    peer = Peer(told(b"vCont;c"), (b"", encode(b"W00")))
    with peer as client:
        client.resume()
        peer.thread.join(5)
        assert client.wait(5) == Stop(0, ended=True)


@pytest.mark.parametrize("last", [b"W00", b"X09"])
def test_target_ends(last):
    with Peer(told(b"vCont;c"), (b"", encode(last)), (b"+",)) as client:
        client.resume()
        assert client.wait(5) == Stop(int(last[1:], 16), ended=True)
        assert client.state is TargetState.ENDED


def test_peer_dies_while_the_target_runs():
    with Peer(told(b"vCont;c")) as client:
        client.resume()
        with pytest.raises(Disconnected, match="is gone"):
            client.wait(5)
        with pytest.raises(WrongState):
            client.resume()


def test_peer_dies_in_the_middle_of_an_answer():
    with Peer((encode(b"?"), b"+$T05thr")) as client, pytest.raises(Disconnected, match="connection closed"):
        client.exchange(b"?")


def test_silent_peer_has_a_bound_and_is_not_trusted_any_more():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = GdbClient(ours, timeout=0.01)
        with pytest.raises(NoAnswer, match=r"within 0\.01 s"):
            client.exchange(b"?")
        with pytest.raises(WrongState, match="ended"):
            client.exchange(b"?")


def test_something_else_listens():
    with (
        Peer((encode(b"?"), b"+$" + b"x" * (1 << 20), b"x")) as client,
        pytest.raises(Garbled, match="not a debug"),
    ):
        client.exchange(b"?")


def test_nobody_listens(tmp_path):
    with pytest.raises(Disconnected, match=r"no debugger stub is listening at .*/none: No such file"):
        GdbClient.connect(tmp_path / "none")


def test_stop_that_is_none():
    with Peer(told(b"vCont;c"), (b"", encode(b"hello")), (b"+",)) as client:
        client.resume()
        with pytest.raises(Garbled, match="instead of a reason"):
            client.wait(5)


def endless(connection, flood):
    """A peer that sends for as long as the client is there."""
    try:
        connection.recv(100)
        while True:
            connection.sendall(flood)
    except OSError:
        connection.close()


@pytest.mark.parametrize("flood", [encode(b"O6161") * 50, b"+" * 65536, encode(b"O") + b"-"])
def test_a_peer_that_never_stops_sending_does_not_prolong_a_wait(flood):
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=endless, args=(theirs, flood), daemon=True)
    thread.start()
    client = GdbClient(ours, timeout=0.05)
    try:
        client.state = TargetState.RUNNING
        ours.sendall(b"go")
        assert client.wait(0.05) is None
    finally:
        client.close()
        thread.join(60)


@pytest.mark.parametrize("payload", [b"T05watch:zz;", b"T05thread:\xff;", b"T05\xff:1;", b"T05rwatch:0x;"])
def test_a_reason_that_makes_no_sense_is_garbled(payload):
    with pytest.raises(Garbled):
        Stop.parse(payload)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b'l<target><xi:include href="target.xml"/></target>', "includes itself"),
        (b"m", "has no end"),
        (b"m" + b"x" * 1024, "has no end"),
    ],
)
def test_a_description_without_an_end_is_garbled(monkeypatch, document, said):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = GdbClient(ours)
        monkeypatch.setattr(client, "exchange", lambda _command: document)
        with pytest.raises(Garbled, match=said):
            client.read_register("pswa")


def test_threads_without_an_end_are_garbled(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = GdbClient(ours)
        monkeypatch.setattr(client, "exchange", lambda _command: b"m\xff,2")
        with pytest.raises(Garbled, match="threads"):
            client.threads()
