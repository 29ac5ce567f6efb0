"""What the client of coroutines begins with: sockets, clocks and plans brought together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, Union

from . import plans
from .calling import Calling, Settings, raw_ask
from .errors import MalformedReply
from .plans import Answer, Ask, Plan
from .async_transport import AsyncTransport
from .wire import Input, Reply

Result = TypeVar("Result")
Self = TypeVar("Self", bound="AsyncClientBase")


class AsyncClientBase:
    """Connections, and the operations by which a daemon tells about itself; see ``AsyncClient``."""

    def __init__(
        self,
        endpoints: Union[str, Sequence[str]],
        *,
        control: Union[str, Sequence[str], None] = None,
        timeout: float | None = 30.0,
        connect_timeout: float | None = 5.0,
        retries: int = 2,
        model: str | None = None,
        precision: str | None = None,
    ) -> None:
        self._start(
            Settings.of(endpoints, control, timeout, connect_timeout, retries, model, precision)
        )

    def _start(
        self, settings: Settings, prepared: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._settings = settings
        self._transport = AsyncTransport(
            settings.endpoints, settings.connect_timeout, settings.retries
        )
        self._control = (
            AsyncTransport(settings.control, settings.connect_timeout, settings.retries)
            if settings.control is not None
            else self._transport
        )
        self._session = settings.session(self._transport.in_turn, prepared)

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self._settings, "prepared": self._session.prepared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state["settings"], state["prepared"])

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections. A second call does nothing."""
        self._transport.close()
        self._control.close()

    # The daemon ---------------------------------------------------------------------------------

    async def hello(self, *, priority: int = 0, deadline: float | None = None) -> dict[str, Any]:
        """The daemon's versions, limits, models and extensions."""
        return (await self._run(plans.asking(Ask("hello")), priority, deadline)).result

    async def ping(self, *, priority: int = 0, deadline: float | None = None) -> float:
        """Seconds from an empty request to its reply."""
        start = time.perf_counter()
        await self._run(plans.asking(Ask("ping")), priority, deadline)
        return time.perf_counter() - start

    async def models(
        self, *, priority: int = 0, deadline: float | None = None
    ) -> list[dict[str, Any]]:
        """What is known of each loaded model: its name, sizes, fingerprint, …"""
        reply = await self._run(plans.asking(Ask("models")), priority, deadline)
        models = reply.result.get("models")
        if not isinstance(models, list):
            raise MalformedReply("result.models is no list")
        return models

    async def health(self, *, priority: int = 0, deadline: float | None = None) -> dict[str, Any]:
        """Whether the daemon is live and ready, and how long ago its self-check ran."""
        plan = plans.asking(Ask("health", is_control=True))
        return (await self._run(plan, priority, deadline)).result

    async def status(self, *, priority: int = 0, deadline: float | None = None) -> dict[str, Any]:
        """The daemon's counters, queues and limits at this moment."""
        plan = plans.asking(Ask("status", is_control=True))
        return (await self._run(plan, priority, deadline)).result

    # Any operation ------------------------------------------------------------------------------

    async def request(
        self,
        op: str,
        params: Mapping[str, Any] | None = None,
        inputs: Sequence[Input] = (),
        *,
        model: str | None = None,
        timeout: float | None = None,
        on_partial: Callable[[Reply], None] | None = None,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Reply:
        """Any operation of the protocol, with its checked reply; what the other methods are made of.

        Args:
            timeout: seconds for this call, instead of the client's.
            on_partial: called with each partial reply, in order, before the final one is returned.
        """
        plan = plans.asking(raw_ask(op, params, inputs, model))
        return await self._run(plan, priority, deadline, timeout, on_partial)

    async def _run(
        self,
        plan: Plan[Result],
        priority: int,
        deadline: float | None,
        timeout: float | None = None,
        on_partial: Callable[[Reply], None] | None = None,
    ) -> Result:
        calling = Calling(self._settings, priority, deadline, timeout, on_partial)
        try:
            ask = next(plan)
            while True:
                try:
                    answer = await self._answer(ask, calling)
                except BaseException as problem:
                    ask = plan.throw(problem)
                else:
                    ask = plan.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _answer(self, ask: Ask, calling: Calling) -> Answer:
        identifier, frames = calling.message(ask)
        transport = self._control if ask.is_control else self._transport
        reply, address = await transport.call(
            identifier,
            frames,
            calling.time_for(ask),
            address=ask.address,
            on_partial=calling.on_partial,
        )
        return Answer(calling.accept(reply, depth=5), address)
