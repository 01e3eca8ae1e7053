"""Readings of devices become invocations: here, on a partner's node, or refused with a reason."""

import math
from dataclasses import dataclass, field
from functools import partial

import msgspec

from mutualedge.errors import MutualEdgeError, PeerError
from mutualedge.functions import anomaly, meaning_of
from mutualedge.model import DeviceId, InvocationId
from mutualedge.node.dispatcher import Dispatcher
from mutualedge.node.requester import Failed, Requester, Served
from mutualedge.node.station import Station
from mutualedge.node.views import IntakeCounts, count_code
from mutualedge.plan.admission import NotAdmitted
from mutualedge.protocol import (
    ExecutedLocal,
    ExecuteLocal,
    FrameRefused,
    Reading,
    ReadingScored,
    Refused,
    RunnerAnswer,
    StoreView,
)

DEVICE_BUCKET = "device"

BEST_EFFORT = "best-effort"

DEVICES_MAX = 1024
"""Devices one node serves; each costs about one kilobyte of memory."""


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Row ``device/<device>``: the detector's state and the last result delivered."""

    state: bytes
    last: ReadingScored


@dataclass(slots=True, kw_only=True)
class _Device:
    """What a device's readings came to.

    Attributes:
        state: Of its detector.
        last: The result delivered last.
        current: The invocation being scored.
        ask_ids: Who waits for it.
        placing: The invocation placed last; its result may come late.
        late: That result, come after the device was told of a failure; for its repeat.
    """

    state: bytes = anomaly.INITIAL_STATE
    last: ReadingScored | None = None
    current: InvocationId | None = None
    ask_ids: list[int] = field(default_factory=list)
    placing: "_Placing | None" = None
    late: Served | None = None


class _Placing(msgspec.Struct, frozen=True, kw_only=True):
    """One invocation of a device and when its result loses its worth."""

    device: _Device
    reading: Reading
    request: bytes
    deadline_ns: int

    @property
    def is_over(self) -> bool:
        """Whether the device has its answer."""
        device = self.device
        return device.placing is not self or device.current != self.reading.invocation


class Intake:
    """One stream per device: readings of a device are scored in order, one batch at a time."""

    def __init__(
        self, station: Station, dispatcher: Dispatcher, requester: Requester, store: StoreView
    ) -> None:
        """Restore each device's detector state and last result."""
        self._station = station
        self._dispatcher = dispatcher
        self._requester = requester
        self._devices: dict[DeviceId, _Device] = {}
        self._placings: dict[InvocationId, _Placing] = {}
        kinds = ("taken", "local", "offloaded", "refused", "failed", "late")
        self._counts = dict.fromkeys(kinds, 0)
        self._by_code: dict[str, int] = {}
        for key, value in store.scan(DEVICE_BUCKET):
            row = msgspec.msgpack.decode(value, type=DeviceRow)
            self._devices[DeviceId(key)] = _Device(state=row.state, last=row.last)

    def snapshot(self) -> IntakeCounts:
        """Return the counts so far."""
        return IntakeCounts(**self._counts, by_code=dict(self._by_code))

    def take(self, ask_id: int, reading: Reading) -> None:
        """Score a batch of readings: here if it fits, else on a lease, else say why not."""
        self._counts["taken"] += 1
        device = self._devices.get(reading.device)
        if device is None:
            if not self._has_room():
                self._refuse(ask_id, "node.device.too-many", f"Serving {DEVICES_MAX} devices.")
                return
            device = self._devices[reading.device] = _Device()
        other = self._placings.get(reading.invocation)
        if other is not None and other.device is not device:
            sentence = "Another device asks under the same invocation; draw a new one for each."
            self._refuse(ask_id, "node.device.invocation", sentence)
            return
        if device.last is not None and device.last.invocation == reading.invocation:
            self._station.answer(ask_id, device.last)
        elif device.current == reading.invocation:
            device.ask_ids.append(ask_id)
        elif device.current is not None:
            sentence = "The device's last readings are still being scored; send these afterwards."
            self._refuse(ask_id, "node.device.busy", sentence)
        elif reading.guaranteed and self._dispatcher.timing == BEST_EFFORT:
            sentence = "This node has no real-time priority, so it guarantees nothing."
            self._refuse(ask_id, "node.timing.best-effort", sentence)
        else:
            self._place(ask_id, device, reading)

    def _has_room(self) -> bool:
        """Tell whether one more device fits, without the oldest that never had a result."""
        if len(self._devices) < DEVICES_MAX:
            return True
        for name, device in self._devices.items():
            if device.last is None and device.current is None:
                if device.placing is not None:
                    self._placings.pop(device.placing.reading.invocation, None)
                del self._devices[name]
                return True
        return False

    def _refuse(self, ask_id: int, code: str, sentence: str) -> None:
        self._counts["refused"] += 1
        count_code(self._by_code, code)
        self._station.answer(ask_id, Refused(code=code, sentence=sentence))

    def _place(self, ask_id: int, device: _Device, reading: Reading) -> None:
        request = anomaly.encode_request(device.state, reading.readings)
        placing = _Placing(
            device=device,
            reading=reading,
            request=request,
            deadline_ns=self._station.now_ns + reading.remaining_ns,
        )
        device.current, device.ask_ids = reading.invocation, [ask_id]
        late = device.late if self._is_repeat(placing) else None
        self._remember(placing)
        if late is not None:
            self._on_served(placing, late)
            return
        not_here = self._try_local(placing)
        if not_here is None:
            return
        if reading.guaranteed:
            sentence = f"{not_here.sentence} A partner's node could die; no room to make up for it."
            self._fail(placing, "admission.guarantee.no-compensation", sentence, "refused")
            return
        nowhere = self._requester.call(
            reading.invocation, request, placing.deadline_ns, partial(self._on_served, placing)
        )
        if nowhere is not None:
            sentence = f"No room here ({not_here.sentence}) nor at a partner: {nowhere.sentence}"
            self._fail(placing, nowhere.code, sentence, "refused")

    def _is_repeat(self, placing: _Placing) -> bool:
        """Tell whether the device asks again what it asked last: same readings, same state."""
        before = placing.device.placing
        return (
            before is not None
            and before.reading.invocation == placing.reading.invocation
            and before.request == placing.request
        )

    def _remember(self, placing: _Placing) -> None:
        """Keep the last invocation of each device, in case its result comes late."""
        device = placing.device
        if device.placing is not None:
            self._placings.pop(device.placing.reading.invocation, None)
        device.placing, device.late = placing, None
        self._placings[placing.reading.invocation] = placing

    def take_late(self, invocation: InvocationId, result: Served) -> None:
        """Deliver a partner's result that came after its call had failed, or keep it for a repeat.

        The device may still wait while its readings are scored here instead; whichever of the two
        results comes first is the answer.
        """
        placing = self._placings.get(invocation)
        if placing is None:
            return
        if placing.is_over:
            placing.device.late = result
        else:
            self._on_served(placing, result)

    def _try_local(self, placing: _Placing) -> NotAdmitted | None:
        order = ExecuteLocal(
            job=self._dispatcher.next_job_id(),
            function=self._station.settings.function,
            request=placing.request,
            budget_ns=self._station.settings.job_budget_ns,
        )
        on_answer = partial(self._on_local, placing)
        return self._dispatcher.admit(order, deadline_ns=placing.deadline_ns, on_answer=on_answer)

    def _on_local(self, placing: _Placing, answer: RunnerAnswer) -> None:
        if placing.is_over:
            return  # its partner's result came after all, and first
        match answer:
            case ExecutedLocal(status="ok", response=response):
                self._deliver(placing, response, self._own_name)
            case ExecutedLocal(status=status):
                self._stopped(placing, status)
            case FrameRefused(code=code, sentence=sentence):
                self._fail(placing, code, sentence, "failed")
            case other:
                sentence = f"The runner answered a job with {type(other).__name__}."
                self._fail(placing, "node.runner.confused", sentence, "failed")

    @property
    def _own_name(self) -> str:
        return self._station.me.enterprise

    def _on_served(self, placing: _Placing, result: Served | Failed) -> None:
        match result:
            case Served(status="ok", response=response, provider=provider):
                self._deliver(placing, response, provider)
            case Served(status=status):
                self._stopped(placing, status)
            case Failed(code=code, sentence=sentence):
                # The partner failed us: run it here after all, if time and room are left.
                if self._try_local(placing) is not None:
                    self._fail(placing, code, sentence, "failed")

    def _stopped(self, placing: _Placing, status: str) -> None:
        meaning = meaning_of(status)
        self._fail(placing, meaning.code, f"{meaning.sentence} {meaning.advice}", "failed")

    def _deliver(self, placing: _Placing, response: bytes, placed: str) -> None:
        try:
            scored = _verify_response(response, len(placing.reading.readings))
        except MutualEdgeError as error:
            self._on_odd_response(placing, placed, error)
            return
        result = ReadingScored(
            invocation=placing.reading.invocation,
            scores=scored.scores,
            flags=scored.flags,
            placed=placed,
            assurance=self._assurance(placed),
            timing=self._timing(placed),
        )
        self._counts["local" if placed == self._own_name else "offloaded"] += 1
        self._counts["late"] += self._station.now_ns > placing.deadline_ns
        placing.device.state, placing.device.last = scored.state, result
        row = DeviceRow(state=scored.state, last=result)
        device = placing.reading.device
        self._station.write(DEVICE_BUCKET, device, msgspec.msgpack.encode(row))
        self._answer_all(placing.device, result)

    def _on_odd_response(self, placing: _Placing, placed: str, error: MutualEdgeError) -> None:
        """A response that no function of ours gives: run it here, if it was not run here."""
        self._station.note("response.refused", placed=placed, code=error.code)
        if placed == self._own_name or self._try_local(placing) is not None:
            self._fail(placing, error.code, error.sentence, "failed")

    def _timing(self, placed: str) -> str:
        """Return the grade we can vouch for; what a partner says of its own is not proved."""
        return self._dispatcher.timing if placed == self._own_name else BEST_EFFORT

    def _assurance(self, placed: str) -> str:
        return "own" if placed == self._own_name else self._station.consortium.trust.assurance

    def _fail(self, placing: _Placing, code: str, sentence: str, how: str) -> None:
        self._counts[how] += 1
        count_code(self._by_code, code)
        self._answer_all(placing.device, Refused(code=code, sentence=sentence))

    def _answer_all(self, device: _Device, reply: ReadingScored | Refused) -> None:
        for ask_id in device.ask_ids:
            self._station.answer(ask_id, reply)
        device.current, device.ask_ids = None, []


def _verify_response(response: bytes, reading_count: int) -> anomaly.Scored:
    """Return the scores if there is a finite one for every reading.

    Raises:
        PeerError: There is not.
    """
    try:
        scored = anomaly.decode_response(response)
    except MutualEdgeError as error:
        raise PeerError("functions.response.malformed", error.sentence) from error
    is_finite = all(map(math.isfinite, scored.scores))
    if len(scored.scores) != reading_count or len(scored.flags) != reading_count or not is_finite:
        sentence = f"The response does not hold one finite score for each of {reading_count}."
        raise PeerError("functions.response.malformed", sentence)
    return scored
