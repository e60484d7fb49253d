"""Who serves a PV: over CA a client knows the host, over PVA it is not told."""

from __future__ import annotations

import ctypes
import threading

from epicscorelibs.ca import cadef

SHELL = "pvinfo {pv}"
"""A command of EPICS that finds the server of a PV over PVA."""


def host_of(pv: str, timeout: float = 1.0) -> str:
    """HOST:PORT of whoever serves this PV over CA; empty where nobody does within so many s."""
    asked = _Asked()
    # libca attaches a context to a thread, and may have one for whoever calls.
    thread = threading.Thread(target=asked.run, args=(pv, timeout), name="host of a PV", daemon=True)
    thread.start()
    thread.join()
    return asked.host


class _Asked:
    def __init__(self) -> None:
        self.host = ""
        self.connected = threading.Event()

    def run(self, pv: str, timeout: float) -> None:
        cadef.ca_context_create(1)
        channel = ctypes.c_void_p()
        try:
            cadef.ca_create_channel(pv, _on_connection, ctypes.py_object(self), 0, ctypes.byref(channel))
            cadef.ca_flush_io()
            self.connected.wait(timeout)
            cadef.ca_clear_channel(channel)
        finally:
            cadef.ca_context_destroy()


@cadef.connection_handler
def _on_connection(args: cadef.ca_connection_handler_args) -> None:
    asked: _Asked = cadef.ca_puser(args.chid)
    if args.op == cadef.CA_OP_CONN_UP:
        name = cadef.ca_host_name(args.chid)
        asked.host = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        asked.connected.set()
