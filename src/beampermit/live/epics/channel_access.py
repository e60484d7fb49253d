"""Subscriptions over CA, with the libca that p4p and softioc bring."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable

import numpy as np
from epicscorelibs.ca import cadef, dbr

from beampermit.live.epics.addresses import Protocol
from beampermit.live.epics.feed import Feed
from beampermit.live.epics.lasting import keep_state
from beampermit.live.epics.sample import EPICS_EPOCH, Sample, make_sample

logger = logging.getLogger(__name__)
WORDS = (
    "NO_ALARM", "READ", "WRITE", "HIHI", "HIGH", "LOLO", "LOW", "STATE", "COS", "COMM", "TIMEOUT", "HW_LIMIT", "CALC",
    "SCAN", "LINK", "SOFT", "BAD_SUB", "UDF", "DISABLE", "SIMM", "READ_ACCESS", "WRITE_ACCESS",
)  # fmt: skip
"""Words of the status numbers of channel access."""
KEPT = threading.Semaphore(1000)
"""Threads that keep their Python state: libca has a new one for each connection to a server."""
EVENTS = cadef.DBE_VALUE | cadef.DBE_ALARM


class ChannelAccess:
    """All is called by the thread that made it, which libca attaches to it; samples come from threads of libca."""

    protocol: Protocol = "ca"

    def __init__(self, wake: Callable[[], None]):
        cadef.ca_context_create(1)
        cadef.ca_add_exception_event(_on_exception, None)
        self._channels: dict[Feed, _Channel] = {}
        self._wake = wake

    def ask(self, feed: Feed) -> None:
        if feed not in self._channels:
            self._channels[feed] = _Channel(feed, self._wake)

    def leave(self, feed: Feed) -> None:
        if channel := self._channels.pop(feed, None):
            channel.clear()

    def read(self, feed: Feed) -> None:
        """The value as it is now; one answer is waited for at a time."""
        if channel := self._channels.get(feed):
            channel.read()

    def tend(self, feed: Feed) -> None:
        """Subscribe to what has connected: of which type a PV is, is known only then."""
        channel = self._channels.get(feed)
        if channel and channel.connected:
            channel.connected = False
            channel.subscribe()

    def flush(self) -> None:
        cadef.ca_flush_io()

    def close(self) -> None:
        for channel in self._channels.values():
            channel.clear()
        cadef.ca_context_destroy()


class _Channel:
    def __init__(self, feed: Feed, wake: Callable[[], None]):
        self.feed = feed
        self.connected = False
        """Whether it has connected since it was tended last."""
        self.kind = -1
        """Type of the record's value, as libca numbers it, that is subscribed; -1 where none is."""
        self.wake = wake
        self.reads = False
        """Whether an answer is waited for."""
        self._event = ctypes.c_void_p()
        self._id = ctypes.c_void_p()
        cadef.ca_create_channel(feed.name, _on_connection, ctypes.py_object(self), 0, ctypes.byref(self._id))

    def subscribe(self) -> None:
        """In the type that the PV has now; libca itself renews a subscription that still fits."""
        try:
            kind = cadef.ca_field_type(self._id)
        except cadef.Disconnected:
            return
        if kind == self.kind:
            return
        if self.kind >= 0:
            cadef.ca_clear_subscription(self._event)
        self.kind = kind
        # A label comes with its sample; read once, labels would be those from before the IOC changed them.
        sent = dbr.DBR_STRING if self.feed.words and kind == dbr.DBR_ENUM else kind
        self._code = sent + dbr.DBR_TIME_STRING
        self.layout = dbr.DbrCodeToType[self._code]
        self.reads = False
        place = ctypes.byref(self._event)
        cadef.ca_create_subscription(self._code, 0, self._id, EVENTS, on_event, ctypes.py_object(self), place)

    def read(self) -> None:
        if self.kind < 0 or self.reads:
            return
        self.reads = True
        try:
            cadef.ca_array_get_callback(self._code, 0, self._id, on_event, ctypes.py_object(self))
        except (cadef.CAException, cadef.Disconnected):
            self.reads = False

    def clear(self) -> None:
        cadef.ca_clear_channel(self._id)


@cadef.connection_handler
def _on_connection(args: cadef.ca_connection_handler_args) -> None:
    channel: _Channel = cadef.ca_puser(args.chid)
    if args.op == cadef.CA_OP_CONN_UP:
        channel.connected = True
        channel.wake()
    else:
        channel.feed.lose("ca")


@cadef.event_handler
def on_event(args: cadef.event_handler_args) -> None:
    keep_state(KEPT)
    channel: _Channel = args.usr
    channel.reads = False
    if args.status == cadef.ECA_DISCONN:
        return  # the connection handler says it
    if args.status != cadef.ECA_NORMAL:
        channel.feed.refuse("ca", f"no value that can be read: {cadef.ca_message(args.status)}")
        return
    try:
        channel.feed.take("ca", _sample(channel.layout, args))
    except Exception:  # whatever it is: the value before must not stay
        logger.exception("%s: an update that is not understood", channel.feed.name)
        channel.feed.refuse("ca", "an update that is not understood")


def _sample(layout: type[ctypes.Structure], args: cadef.event_handler_args) -> Sample:
    head = layout.from_address(args.raw_dbr)
    stamp, severity = head.raw_stamp, head.severity
    at = EPICS_EPOCH + stamp.secs + stamp.nsec * 1e-9
    return make_sample(_value(head, args.count), at, severity, _word(head.status) if severity else "")


def _value(head: ctypes.Structure, count: int) -> object:
    """A scalar, or an array that is copied: libca's memory is there for the call only."""
    if isinstance(head, dbr.dbr_time_string):
        return ctypes.string_at(ctypes.addressof(head.raw_value)).decode(errors="replace")
    if count == 1:
        return head.raw_value[0]
    kind, address = type(head.raw_value)._type_, ctypes.addressof(head.raw_value)
    return np.array((kind * count).from_address(address))


def _word(status: int) -> str:
    return WORDS[status] if 0 <= status < len(WORDS) else f"status {status}"


@cadef.exception_handler
def _on_exception(args: cadef.exception_handler_args) -> None:
    """What libca would print to standard error."""
    logger.info("channel access: %s (%s)", cadef.ca_message(args.stat), (args.ctx or b"").decode(errors="replace"))
