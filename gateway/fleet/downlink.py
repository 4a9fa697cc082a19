"""What the homes hear on `ven/cmd/{venId}`, and what they answer on `ven/ack/{venId}`, each after its manner."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.acks import Agent, Answer
from gateway.fleet.behaviours import Behaviour, Generation, behaviours, generations
from gateway.fleet.command_decoder import Command, decode_command
from gateway.fleet.device import Device
from gateway.fleet.home import Home
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import Publisher
from gateway.reconciliation.dr_ledger import DrLedger, ReceivedCommand, SentAck

logger = logging.getLogger(__name__)

COMMANDS = "ven/cmd/"
ACKS = "ven/ack/"

_AGAIN_S = 1.0  # after which an answer comes again with another time
_encode = msgspec.json.Encoder().encode


class _Ack(NamedTuple):
    ven: int
    payload: Answer


class Downlink:
    """The homes of a fleet as they listen; `cut` is called when one of them (by number) has a power cut."""

    def __init__(self, options: FleetOptions, homes: list[Home], ledger: DrLedger, cut: Callable[[int], None]) -> None:
        self.behaviours: list[Behaviour] = behaviours(options.seed, options.vens, options.behaviours)
        self.generations: list[Generation] = generations(options.seed, options.vens)
        self.states = [
            Device(Agent(options.ven_id(index), self.generations[index]), home.circuits, self.behaviours[index])
            for index, home in enumerate(homes)
        ]
        self._options = options
        self._homes = homes
        self._ledger = ledger
        self._cut = cut
        self._indices = {options.ven_id(index): index for index in range(options.vens)}
        self._outbox: asyncio.Queue[_Ack] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()
        self._forgotten: set[tuple[int, str]] = set()

    def topics(self, connection: int) -> list[str]:
        """Return what a connection (by number) has to subscribe to: the commands of the homes that share it."""
        options = self._options
        return [COMMANDS + options.ven_id(index) for index in range(connection, options.vens, options.connections)]

    def hear(self, topic: str, payload: bytes, redelivered: bool) -> None:  # noqa: FBT001 - as MQTT has it
        """Take a message; a home that is not ours may be one of an earlier, larger fleet."""
        ven_id = topic.removeprefix(COMMANDS)
        index = self._indices.get(ven_id)
        if index is None:
            return
        command = decode_command(payload)
        if command is None:
            self._ledger.received(ven_id, ReceivedCommand(_now_ms(), None, None, None, None, redelivered))
            return
        event_id = command.text("event_id", "eventId")
        record = ReceivedCommand(
            _now_ms(), command.op, command.correlation_id, event_id, command.document, redelivered=redelivered
        )
        self._ledger.received(ven_id, record)
        if self.behaviours[index] is Behaviour.SLOW and command.op != "ping":
            self._after(self._options.slow_seconds, self._obey, index, command)
        else:
            self._obey(index, command)

    async def answer(self, publishers: list[Publisher]) -> None:
        """Send what the homes answer, until cancelled.

        Raises:
            BrokerRefusedError: when the broker does not let the fleet in.
        """
        while True:
            ack = await self._outbox.get()
            publisher = publishers[ack.ven % len(publishers)]
            await publisher.wait_for_capacity()
            ven_id = self._options.ven_id(ack.ven)
            publisher.send(ACKS + ven_id, _encode(ack.payload), _nothing)
            self._ledger.answered(ven_id, SentAck(_now_ms(), ack.payload))
            self._outbox.task_done()

    async def close(self, answering: "asyncio.Task[None]", timeout_s: float) -> None:
        """Do nothing more later, let `answering` send what there is for at most `timeout_s` seconds, and end it."""
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        sent = asyncio.ensure_future(self._outbox.join())
        await asyncio.wait({answering, sent}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (answering, sent):
            task.cancel()
        await asyncio.wait({answering, sent})

    def cut_power(self, index: int) -> None:
        """Let a home have a power cut: it has forgotten what it was told, and counts its messages anew."""
        self._ledger.cut(self._options.ven_id(index), _now_ms())
        self.states[index].forget()
        self._cut(index)

    def _obey(self, index: int, command: Command) -> None:
        # Whole seconds, as samples have them: within one second the home draws the same.
        now = time.time()
        answer = self.states[index].told(command, self._homes[index].at(float(int(now))), now)
        if answer is None:
            return
        self._send(index, answer)
        if self.behaviours[index] is Behaviour.REPEATS:
            self._send(index, answer)
            self._after(_AGAIN_S, self._send_anew, index, answer)
        event_id = self.states[index].report(now).event_id
        if self.behaviours[index] is Behaviour.FORGETS and event_id is not None:
            self._forget_later(index, event_id)

    def _forget_later(self, index: int, event_id: str) -> None:
        """Once an event: whoever tells the home once more is obeyed."""
        if (index, event_id) not in self._forgotten:
            self._forgotten.add((index, event_id))
            self._after(self._options.power_cut_seconds, self._forget, index, event_id)

    def _forget(self, index: int, event_id: str) -> None:
        if self.states[index].report(time.time()).event_id == event_id:
            self.cut_power(index)

    def _send(self, index: int, answer: Answer) -> None:
        self._outbox.put_nowait(_Ack(index, answer))

    def _send_anew(self, index: int, answer: Answer) -> None:
        self._send(index, answer | {"ts": int(time.time())})

    def _after(self, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
        def do() -> None:
            self._later.discard(handle)
            work(*arguments)

        handle = asyncio.get_running_loop().call_later(seconds, do)
        self._later.add(handle)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _nothing() -> None:
    """Nobody waits for the PUBACK of an ack."""
