import pytest

from apmatrix.arch import KeySet, Mode
from apmatrix.cards.administration import Action, AdministrationError, KeyCommand
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.requests import (
    RequestError,
    cca_control,
    cca_message,
    read_cca_control,
    read_ep11_control,
    reply_parts,
)
from support import cca, ep11
from support.queues import exchange, make_adapter


def run(adapter, action, key_set, part=b"", domain=0x40, queue=6, allowed=None, **options):
    command = KeyCommand(action, key_set, domain, part)
    control_domains = (domain,) if allowed is None else allowed
    reply = exchange(adapter, command.message(queue), queue, control_domains=control_domains, **options)
    return command.result(reply)


@pytest.mark.parametrize("key_set", [KeySet.AES, KeySet.APKA, KeySet.ASYM])
def test_cca_key_set_from_a_queue_of_another_domain(key_set):
    adapter, size = make_adapter(), key_set.key_size
    assert run(adapter, Action.LOAD_FIRST, key_set, bytes(size)).new == ("partial", bytes(key_set.pattern_size))
    assert run(adapter, Action.LOAD_MIDDLE, key_set, bytes(size)).new[0] == "partial"
    full = run(adapter, Action.LOAD_LAST, key_set, b"\1" * size)
    assert full.new[0] == "full"
    assert full.current == ("invalid", bytes(key_set.pattern_size))
    view = run(adapter, Action.SET, key_set)
    assert view.new[0] == "empty"
    assert view.current == ("valid", full.new[1])
    assert run(adapter, Action.QUERY, key_set) == view
    current = adapter.context.keyring.registers(0x40, key_set).current
    assert current is not None
    assert current.key == b"\1" * size
    assert run(adapter, Action.ZEROIZE_DOMAIN, key_set) is None
    assert run(adapter, Action.QUERY, key_set).current[0] == "invalid"


def test_ep11_wrapping_key():
    adapter = make_adapter("CEX8P")

    def do(action, part=b""):
        # the queue of the control domain itself: EP11 leaves the target alone
        return run(adapter, action, KeySet.WK, part)

    uncommitted = do(Action.IMPORT, bytes(32))
    assert uncommitted.new[0] == "uncommitted"
    assert do(Action.COMMIT).new == ("committed", uncommitted.new[1])
    view = do(Action.FINALIZE)
    assert (view.new[0], view.current, view.old) == ("empty", ("valid", uncommitted.new[1]), None)
    assert do(Action.ZEROIZE_DOMAIN) is None
    assert do(Action.QUERY).current[0] == "invalid"


@pytest.mark.parametrize(("card", "key_set"), [("CEX8C", KeySet.AES), ("CEX8P", KeySet.WK)])
def test_refusals_are_sentences(card, key_set):
    adapter = make_adapter(card)
    action = Action.COMMIT if key_set is KeySet.WK else Action.SET
    with pytest.raises(
        AdministrationError,
        match=rf"{action.value} of the {key_set.label} master key in domain 0x40 was refused: the register is not",
    ):
        run(adapter, action, key_set)
    with pytest.raises(RequestError, match="reply code 8a") as caught:
        run(adapter, action, key_set, allowed=(), rc8a=True)
    assert caught.value.code == 0x8A


def test_command_to_a_card_of_another_kind():
    with pytest.raises(RequestError, match="reply code 80"):
        KeyCommand(Action.QUERY, KeySet.WK, 6).result(
            exchange(make_adapter(), KeyCommand(Action.QUERY, KeySet.WK, 6).message(6))
        )


def test_key_parts_are_never_shown():
    command = KeyCommand(Action.LOAD_FIRST, KeySet.AES, 6, b"very secret key part, 32 bytes!!")
    assert "secret" not in repr(command)
    assert command.mode is Mode.CCA


def test_requests_are_those_of_linux():
    parameters = Parameters(b"PK", (b"MRP",), b"data", b"keys")
    built = cca_message(cca_control(parameters, 6))
    assert built == cca.request(cca.parameters(b"PK", [b"MRP"], b"data", b"keys"))


@pytest.mark.parametrize(
    "reply", [b"", b"\0\x82\0\0\x24\0\0\0", b"\0\x86" + bytes(40), b"\0\x86\2\0\x90" + bytes(43)]
)
def test_messages_that_are_no_replies(reply):
    with pytest.raises(RequestError, match="refused"):
        reply_parts(reply)


@pytest.mark.parametrize("control", [b"", bytes(32), bytes(220), bytes(300)])
@pytest.mark.parametrize("read", [read_cca_control, read_ep11_control])
def test_control_blocks_that_make_no_sense(read, control):
    with pytest.raises(RequestError, match="the card's reply has no complete"):
        read(control)


@pytest.mark.parametrize("key_set", [KeySet.AES, KeySet.WK])
def test_answers_to_something_else_make_no_sense(key_set):
    command = KeyCommand(Action.QUERY, key_set, 6)
    if key_set is KeySet.AES:
        reply = exchange(make_adapter(), cca.request(cca.parameters(b"RL", [b"RANDOM"])))
    else:
        adapter = make_adapter("CEX8P")
        ep11.set_wrapping_key(adapter, bytes(32))
        blob = ep11.generate(adapter).data
        reply = ep11.encrypt(adapter, blob, b"short").message
    with pytest.raises(RequestError, match="the card's reply"):
        command.result(reply)
