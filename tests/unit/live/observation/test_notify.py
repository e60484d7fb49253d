"""systemd hears when the service is ready, that its loop runs, and when it ends: over real datagram sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.live.observation.notify import Notifier
from support.served import Serve, Served


@pytest.fixture(params=["path", "abstract"])
def name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@beampermit-{os.getpid()}"


@pytest.fixture
def systemd(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(20)
        yield listener


def told(listener: socket.socket) -> list[str]:
    return listener.recv(4096).decode().split("\n")


def nothing(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.recv(4096)
    except BlockingIOError:
        return True
    finally:
        listener.settimeout(20)
    return False


def test_systemd_hears_of_the_first_update_of_life_and_of_the_end(
    systemd: socket.socket, name: str, serving: Served
) -> None:
    clock = [50.0]
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000"}, monotonic=lambda: clock[0])
    notifier.say("verifying\nREADY=1")
    assert told(systemd) == ["STATUS=verifying READY=1"]
    notifier.publish(serving.cycle())
    assert told(systemd) == ["READY=1", "WATCHDOG=1", "STATUS=version 3: SERVING"]
    clock[0] += 0.9
    notifier.publish(serving.cycle())
    assert nothing(systemd)
    clock[0] += 0.2  # a quarter of the time of the watchdog
    serving.put([0.0, float("nan"), 0.0])
    notifier.publish(serving.cycle())
    assert told(systemd) == ["WATCHDOG=1", "STATUS=version 3: INVALID, B1:TBT is NaN (6 of 6 outputs)"]
    clock[0] += 100
    assert nothing(systemd)  # a loop that stands gives no sign of life
    notifier.close()
    assert told(systemd) == ["STOPPING=1"]
    notifier.close()


def test_a_service_that_starts_again_does_not_say_that_it_stops(
    systemd: socket.socket, name: str, serving: Served
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.publish(serving.cycle())
    assert told(systemd)[0] == "READY=1"
    notifier.start_again()
    reloading, when, status = told(systemd)
    assert (reloading, status) == ("RELOADING=1", "STATUS=starting again")
    assert 0 <= time.monotonic() - int(when.removeprefix("MONOTONIC_USEC=")) / 1e6 < 60
    notifier.close()
    assert nothing(systemd)
    Notifier({"NOTIFY_SOCKET": name}).publish(serving.cycle())
    assert told(systemd)[0] == "READY=1"


def test_invalid_outputs_are_a_first_update_too(systemd: socket.socket, name: str, serve: Serve) -> None:
    served = serve()
    Notifier({"NOTIFY_SOCKET": name}).publish(served.cycle())
    assert told(systemd) == ["READY=1", "STATUS=STARTING, B1:TBT has sent nothing yet (6 of 6 outputs)"]


def test_where_there_is_nothing_to_show_it_is_ready_and_lives(
    systemd: socket.socket, name: str, serving: Served
) -> None:
    clock = [50.0]
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000"}, monotonic=lambda: clock[0])
    notifier.wait(ready=False)
    assert nothing(systemd), "a version may be there, and its PVs in a moment"
    notifier.say("no version was ever promoted")
    assert told(systemd) == ["STATUS=no version was ever promoted"]
    notifier.wait(ready=True)
    assert told(systemd) == ["READY=1", "WATCHDOG=1", "WATCHDOG_USEC=300000000", "STATUS=no version was ever promoted"]
    notifier.wait(ready=True)
    assert nothing(systemd)
    clock[0] += 1.1  # more than a quarter of the time of the watchdog
    notifier.say("version 3 is being prepared")
    notifier.wait(ready=False)
    assert told(systemd) == ["STATUS=version 3 is being prepared"]
    assert told(systemd) == ["WATCHDOG=1", "STATUS=version 3 is being prepared"]
    clock[0] += 1.1
    notifier.publish(serving.cycle())
    assert told(systemd) == ["WATCHDOG=1", "WATCHDOG_USEC=4000000", "STATUS=version 3: SERVING"]


@pytest.mark.parametrize(
    "variables",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}],
)
def test_a_watchdog_of_nobody_or_of_another_process_is_not_fed(
    systemd: socket.socket, name: str, serving: Served, variables: dict[str, str]
) -> None:
    Notifier({"NOTIFY_SOCKET": name, **variables}).publish(serving.cycle())
    assert "WATCHDOG=1" not in told(systemd)


@pytest.mark.parametrize("name", ["", "relative", "vsock:1:2"])
def test_where_nobody_listens_nothing_is_said(serving: Served, name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name} if name else {})
    notifier.publish(serving.cycle())
    notifier.close()


def test_a_full_queue_does_not_lose_that_the_service_is_ready(
    tmp_path: Path, serving: Served, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [0.0]
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}, monotonic=lambda: clock[0])
    for _ in range(3):
        notifier.publish(serving.cycle())
    assert caplog.messages == ["systemd does not hear of the service: No such file or directory"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(20)
        notifier.publish(serving.cycle())
        assert told(listener)[0] == "READY=1"
    notifier.close()
