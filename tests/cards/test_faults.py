import pytest

from apmatrix.arch import ResponseCode
from apmatrix.arch.messages import ReplyCode
from apmatrix.cards import AdapterState, Loss, ManualClock, QueueFunction, Request
from apmatrix.cards.faults import Fault, FaultError, Switchboard
from support import cca
from support.messages import vectors
from support.queues import Echo, Stepper, exchange, make_adapter

MV = vectors()


def switched(*texts, **options):
    adapter = make_adapter(**options)
    board = Switchboard()
    adapter.filters.add(board)
    numbers = [board.switch_on(Fault.parse(text)) for text in texts]
    return adapter, board, numbers


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "adapter=5 domain=0x33 on=zapq response=0x02 times=2",
            Fault(
                adapter=5,
                domain=0x33,
                on=QueueFunction.ZAPQ,
                response=ResponseCode.RESET_IN_PROGRESS,
                times=2,
            ),
        ),
        (
            "verb=PK reply=0x90 status=0x4d skip=10",
            Fault(verb="PK", reply=ReplyCode.TRANSPORT_FAILURE, status=0x4D, skip=10),
        ),
        ("on=request delay=1.5 contains=504b", Fault(delay=1.5, contains=b"PK")),
        ("lose=gone", Fault(lose=Loss.GONE)),
        ("verb=pk lose=gone", Fault(verb="PK", lose=Loss.GONE)),
        ("state=checkstopped", Fault(state=AdapterState.CHECKSTOPPED)),
        (
            "on=tapq response=0x10 async=yes",
            Fault(on=QueueFunction.TAPQ, response=ResponseCode.QUEUE_FULL, asynchronous=True),
        ),
    ],
)
def test_text(text, fault):
    assert Fault.parse(text) == fault
    assert Fault.parse(str(fault)) == fault


def test_text_of_a_fault_is_short():
    text = "adapter=5 domain=0x33 on=zapq response=0x2 async=yes times=0"
    assert str(Fault.parse(text)) == text
    assert str(Fault.parse("lose=gone on=request times=3 skip=0")) == "lose=gone times=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no effect"),
        ("adapter=5", "no effect"),
        ("adapter=256 lose=held", "'adapter=256': 256 is outside 0-255"),
        ("nonsense", "'nonsense': a fault is made of words like adapter="),
        ("adaptr=5", "did you mean adapter=?"),
        ("adapter=5 adapter=6 delay=1", "'adapter=6': adapter= is there twice"),
        ("times=-1 delay=1", "'times=-1': give a number from 0 to 0xffffffff"),
        ("colour=red", "'colour=red'"),
        ("delay=1 delay=2", "'delay=2'"),
        ("delay=-1", "above 0"),
        ("delay=nan", "above 0"),
        ("delay=1e300", "above 0, at most 86400"),
        ("delay=soon", "'delay=soon': give a number of seconds"),
        ("skip=x lose=held", "'skip=x': give a number from 0"),
        ("verb= lose=held", "'verb=': give ME, CRT, two letters"),
        ("verb=RSA lose=held", "'verb=RSA': give ME, CRT"),
        ("contains= lose=held", "'contains=': give bytes in hexadecimal"),
        ("contains=0 lose=held", "'contains=0': give bytes in hexadecimal"),
        ("lose=often", "'lose=often': give one of held, gone"),
        ("on=nqap delay=1", "belong together"),
        ("response=2", "belong together"),
        ("on=nqap response=2 delay=1", "no words about requests"),
        ("on=nqap response=2 verb=PK", "no words about requests"),
        ("async=yes lose=held", "belongs to response="),
        ("status=1 lose=held", "status= to reply="),
        ("reply=0x90 status=0x100000000", "0xffffffff"),
        ("reply=0x100", "'reply=0x100': 0x100 is outside"),
        ("reply=", "'reply='"),
        ("times=-1 lose=held", "from 0 to 0xffffffff"),
    ],
)
def test_wrong_text(text, message):
    with pytest.raises(FaultError, match=message):
        Fault.parse(text)


def test_function_answers_at_its_place_and_as_often_as_said():
    adapter, board, _ = switched("domain=6 on=zapq response=0x02 skip=1 times=2")
    codes = [adapter.queue(6).reset(zeroize=True).response_code for _ in range(5)]
    assert [int(code) for code in codes] == [0, 2, 2, 0, 0]
    assert adapter.queue(7).reset(zeroize=True).ok
    assert adapter.queue(6).reset().ok
    ((_, hits),) = board.faults().values()
    assert hits == 2


def test_reply_code_for_one_verb_only():
    adapter, _, _ = switched("verb=PD reply=0x24")
    assert exchange(adapter, MV["MV-5"]) == MV["MV-6"]
    assert exchange(adapter, MV["MV-7"]) == MV["MV-19"]


def test_codes_without_a_name():
    adapter, _, _ = switched("reply=0x99", "on=tapq response=0x77")
    assert exchange(adapter, MV["MV-5"]) == bytes.fromhex("0082000099000000")
    assert adapter.queue(6).test().value == 0x80770000


def test_transport_failure_carries_status_and_control_block():
    adapter, _, _ = switched("reply=0x90 status=0x4d")
    reply = exchange(adapter, MV["MV-5"])
    assert reply[:16] == MV["MV-21"][:16]
    assert cca.Reply(reply).cprbx[2] == 2


def test_reply_code_on_an_accelerator():
    adapter, _, _ = switched("verb=CRT reply=0x10 status=1", card="CEX7A")
    assert exchange(adapter, MV["MV-1"]) == MV["MV-2"]
    assert exchange(adapter, MV["MV-3"])[:5] == b"\0\x82\0\0\x10"


def test_delay_and_loss():
    adapter, board, numbers = switched("contains=6131 delay=2", "contains=6132 lose=gone", firmware=Echo())
    queue = adapter.queue(6)
    queue.enqueue(Request(1, b"a1"))
    queue.enqueue(Request(2, b"a2"))
    assert not queue.test().replies_waiting
    adapter.clock.advance(2)
    assert queue.dequeue(100).message_id == 1
    assert queue.test().empty
    board.switch_off(numbers[1])
    queue.enqueue(Request(3, b"a2"))
    assert queue.dequeue(100).message_id == 3


def test_card_fails_in_the_middle_of_work():
    clock, workers = ManualClock(), Stepper()
    adapter, _, _ = switched("state=checkstopped skip=1 times=1", clock=clock, workers=workers, firmware=Echo())
    queue = adapter.queue(6)
    assert queue.enqueue(Request(1, b"")).ok
    assert queue.enqueue(Request(2, b"")).ok  # was taken before the card failed
    assert queue.test().response_code is ResponseCode.CHECKSTOPPED
    workers.run()
    adapter.set_state(AdapterState.ONLINE)
    assert queue.test().empty


def test_one_board_serves_many_adapters():
    board = Switchboard()
    adapters = [make_adapter(number=number) for number in (5, 6)]
    for adapter in adapters:
        adapter.filters.add(board)
    board.switch_on(Fault.parse("adapter=6 on=tapq response=5"))
    assert [int(adapter.queue(1).test().response_code) for adapter in adapters] == [0, 5]
    board.switch_off()
    assert adapters[1].queue(1).test().ok


def test_switching_off_what_is_not_on():
    _, board, numbers = switched("lose=held")
    with pytest.raises(FaultError, match=f"no fault 99; active faults: {numbers[0]}"):
        board.switch_off(99)
