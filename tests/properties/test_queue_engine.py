"""The queue engine against a model of it: random functions, random order of completion."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from apmatrix.arch import ResponseCode
from apmatrix.cards import AdapterState, ManualClock, Request
from support.queues import Bell, Echo, Stepper, make_adapter

DOMAINS = (6, 0x33)
DEPTH = 3
RESET = 1.0


class Model:
    """What one queue must look like."""

    def __init__(self):
        self.in_process = []
        self.replies = []
        self.bell = None
        self.reset_ends = None

    def drop(self):
        self.in_process, self.replies, self.bell, self.reset_ends = [], [], None, None


class QueueEngine(RuleBasedStateMachine):
    """Two queues of one adapter, so that a reply in the wrong one is seen."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.workers = Stepper()
        self.adapter = make_adapter(
            clock=self.clock, workers=self.workers, firmware=Echo(), depth=DEPTH, reset_duration=RESET
        )
        self.models = {domain: Model() for domain in DOMAINS}
        self.next_id = 0
        self.submitted = []  # the model's view of what the workers hold: (domain, id, still wanted)

    queues = st.sampled_from(DOMAINS)
    sizes = st.integers(0, 300)
    bells = Bundle("bells")

    @initialize(requests=st.lists(st.tuples(queues, sizes), max_size=2 * DEPTH), finished=st.integers(0, 2 * DEPTH))
    def load(self, requests, finished):
        """Most examples begin with replies: by chance few would ever come to one."""
        for domain, size in requests:
            self.enqueue(domain, size)
        for _ in range(min(finished, len(self.submitted))):
            self.finish(0)

    @rule(target=bells, name=st.sampled_from("abc"))
    def make_bell(self, name):
        return Bell(name)

    def obstacle(self, model):
        if self.adapter.state is AdapterState.DECONFIGURED:
            return ResponseCode.DECONFIGURED
        if self.adapter.state is AdapterState.CHECKSTOPPED:
            return ResponseCode.CHECKSTOPPED
        return ResponseCode.RESET_IN_PROGRESS if model.reset_ends is not None else ResponseCode.NORMAL

    def check(self, status, model, code):
        load = len(model.in_process) + len(model.replies)
        assert status.response_code is code
        assert status.empty == (load == 0)
        assert status.replies_waiting == bool(model.replies)
        assert status.queue_full == (load == DEPTH)
        assert status.interrupts_enabled == (model.bell is not None)
        assert not status.async_error

    @rule(domain=queues, size=sizes)
    def enqueue(self, domain, size):
        model = self.models[domain]
        self.next_id += 1
        message = self.next_id.to_bytes(4, "big") + bytes(size)
        code = self.obstacle(model)
        if code is ResponseCode.NORMAL and len(model.in_process) + len(model.replies) == DEPTH:
            code = ResponseCode.QUEUE_FULL
        status = self.adapter.queue(domain).enqueue(Request(self.next_id, message))
        if code is ResponseCode.NORMAL:
            model.in_process.append(self.next_id)
            self.submitted.append((domain, self.next_id, bytes((domain,)) + message))
        self.check(status, model, code)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def finish_one(self, data):
        self.finish(data.draw(st.integers(0, len(self.submitted) - 1)))

    def finish(self, index):
        domain, message_id, reply = self.submitted.pop(index)
        model = self.models[domain]
        rings = model.bell.rings if model.bell else 0
        self.workers.finish(index)
        if message_id in model.in_process:
            model.in_process.remove(message_id)
            model.replies.append((message_id, reply))
            if model.bell:
                assert model.bell.rings == rings + (len(model.replies) == 1)

    @rule(domain=queues, length=st.integers(0, 350), position=st.sampled_from((0, 0, 0, 1, 100, 304, 305, 400)))
    def dequeue(self, domain, length, position):
        model = self.models[domain]
        found = self.adapter.queue(domain).dequeue(length, position)
        code = self.obstacle(model)
        if code is ResponseCode.NORMAL and not model.replies:
            code = ResponseCode.NO_PENDING_REPLY
        if code is not ResponseCode.NORMAL:
            self.check(found.status, model, code)
            return
        message_id, reply = model.replies[0]
        if position and position >= len(reply):
            self.check(found.status, model, ResponseCode.INDEX_TOO_BIG)
            return
        rest = reply[position:]
        assert found.data == rest[:length]
        assert found.remaining == max(0, len(rest) - length)
        if found.remaining:
            assert found.status is None
            assert found.position == position + length
        else:
            model.replies.pop(0)
            assert found.message_id == message_id
            self.check(found.status, model, ResponseCode.NORMAL)

    @rule(domain=queues, zeroize=st.booleans())
    def reset(self, domain, zeroize):
        model = self.models[domain]
        code = self.obstacle(model)
        status = self.adapter.queue(domain).reset(zeroize=zeroize)
        if code is ResponseCode.NORMAL:
            model.drop()
            model.reset_ends = self.clock.now() + RESET
        self.check(status, model, code)

    @rule(domain=queues, bell=st.one_of(st.none(), bells))
    def set_interruption(self, domain, bell):
        model = self.models[domain]
        code = self.obstacle(model)
        if code is ResponseCode.NORMAL and bell == model.bell:
            code = ResponseCode.OTHERWISE_CHANGED
        rings = bell.rings if bell else 0
        status = self.adapter.queue(domain).set_interruption(bell)
        if code is ResponseCode.NORMAL:
            model.bell = bell
            if bell:
                assert bell.rings == rings + bool(model.replies)
        self.check(status, model, code)

    @rule(state=st.sampled_from(AdapterState))
    def set_state(self, state):
        self.adapter.set_state(state)
        if state is not AdapterState.ONLINE:
            for model in self.models.values():
                model.drop()

    @rule(seconds=st.sampled_from((0.25, 0.5, 1.0)))
    def advance(self, seconds):
        self.clock.advance(seconds)
        for model in self.models.values():
            if model.reset_ends is not None and model.reset_ends <= self.clock.now():
                model.reset_ends = None

    @invariant()
    def test_shows_the_model(self):
        for domain, model in self.models.items():
            self.check(self.adapter.queue(domain).test(), model, self.obstacle(model))


TestQueueEngine = QueueEngine.TestCase
