"""A cluster of Dask Gateway. Its scheduler is reached through the gateway's proxy, with the user's own login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from beampermit.errors import BadInput, Outside, one_line

KIND = "dask-gateway"
NOT_CONFIGURED = "export DASK_GATEWAY__ADDRESS=https://HOST/services/dask-gateway"


def name_of(on: str) -> str:
    """Of the cluster in `dask-gateway://NAME`; empty for the one that runs."""
    if find_spec("dask_gateway") is None:
        raise BadInput(
            "--on dask-gateway://NAME needs the client of Dask Gateway", hint="pip install 'beampermit[dask-gateway]'"
        )
    name = on.removeprefix(f"{KIND}://").rstrip("/")
    if not all(letter.isalnum() or letter in "._-" for letter in name):
        raise BadInput(
            f"--on is {on!r}, and dask-gateway://NAME is needed, with the name of a cluster; "
            "address and login of the gateway stand in Dask's own configuration",
            hint=NOT_CONFIGURED,
        )
    return name


@contextmanager
def client_of(name: str) -> Iterator[Any]:
    """A client of the cluster; at the end, the cluster goes on. Raises `BadInput`, `Outside`."""
    import aiohttp
    from dask_gateway import Gateway
    from dask_gateway.client import (
        GatewayClusterError,
        GatewayServerError,
    )

    try:
        gateway: Any = Gateway()
    except ValueError:
        raise BadInput("Dask's configuration names no Dask Gateway", hint=NOT_CONFIGURED) from None
    with ExitStack() as opened:
        opened.callback(let_go, gateway)
        try:
            found = _running(gateway, name or _only(gateway))  # to connect in vain leaves things behind
            cluster = gateway.connect(found, shutdown_on_close=False)
            opened.callback(_close, cluster)
            client = cluster.get_client(set_as_default=False)
            opened.callback(_disconnect, client)
        except (ValueError, GatewayClusterError) as error:  # there is none of this name, or it does not run
            raise BadInput(f"Dask Gateway: {one_line(error)[:300]}") from None
        except (aiohttp.ClientError, GatewayServerError, OSError) as error:
            raise Outside(f"Dask Gateway at {gateway.address}: {one_line(error)[:300]}") from None
        yield client


def _disconnect(client: Any) -> None:
    with suppress(Exception):
        client.close(timeout=5)


def _close(cluster: Any) -> None:
    with suppress(Exception):
        cluster.close(shutdown=False)
    let_go(cluster.gateway)


def let_go(gateway: Any) -> None:
    """Close a client of the gateway. Collected as garbage, it would close itself again and print that it cannot."""
    with suppress(RuntimeError):  # it is closed
        gateway.close()
    with suppress(AttributeError):
        del gateway._loop_runner


def _running(gateway: Any, name: str) -> str:
    """Its name. One that has not begun would be waited for, for as long as it takes."""
    found = gateway.get_cluster(name)
    if found.status.name != "RUNNING":
        raise ValueError(f"the cluster {found.name} is {found.status.name}: run this again when it is RUNNING")
    return found.name


def _only(gateway: Any) -> str:
    names = sorted(cluster.name for cluster in gateway.list_clusters())
    if len(names) == 1:
        return names[0]
    there = f"you have {', '.join(names)}: name one" if names else "you have none: make one where you work"
    raise ValueError(f"--on dask-gateway:// is the one cluster of yours, and {there}")
