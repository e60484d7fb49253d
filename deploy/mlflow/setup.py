"""Prepares the server: its bucket, the accounts `reading` and `writing`, and what they may do with which models.

    python setup.py MODEL...

Run it again for each new model, and after a password in .env was changed. What is there already stays.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError
from objects import make_bucket, variable

ANY = "*"
READERS = ("reading", "writing")


class Server:
    """The server, as the account `admin`."""

    def __init__(self, address: str, password: str):
        self.address = address
        self.session = requests.Session()
        self.session.auth = ("admin", password)

    def call(self, method: str, path: str, *, there: str = "", **values: object) -> Any:
        """The answer; None where it is the error `there`. Ends with one line for any other, and where none comes."""
        where: dict[str, Any] = {"params": values} if method == "GET" else {"json": values}
        try:
            answer = self.session.request(method, f"{self.address}/api/{path}", timeout=60, **where)
            if answer.ok:
                return answer.json() if answer.content else {}
        except requests.JSONDecodeError:
            end(f"{self.address} answers {path} as no MLflow does: is SERVER its address?")
        except (requests.RequestException, OSError) as error:
            end(f"{self.address} does not answer {path}: {error}")
        if there and there in answer.text:
            return None
        return end(f"{path} failed with {answer.status_code}: {answer.text[:300]}")

    def found(self, path: str, *names: str, **values: str) -> str:
        """The text that an answer has behind these names."""
        answer = self.call("GET", path, **values)
        for name in names:
            answer = answer.get(name) if isinstance(answer, dict) else None
        return answer if isinstance(answer, str) else end(f"{self.address} answers {path} without {names[-1]}")

    def account(self, name: str, password: str) -> None:
        words = {"username": name, "password": password}
        if self.call("POST", "2.0/mlflow/users/create", there="RESOURCE_ALREADY_EXISTS", **words) is None:
            self.call("PATCH", "2.0/mlflow/users/update-password", **words)

    def grant(self, account: str, kind: str, which: str, permission: str) -> None:
        where, given = {"username": account, "resource_type": kind, "resource_id": which}, {"permission": permission}
        path = "3.0/mlflow/users/permissions"
        if self.call("POST", f"{path}/grant", there="RESOURCE_ALREADY_EXISTS", **where, **given) is None:
            # It has a permission there, maybe another one, which is taken away first.
            if self.found(f"{path}/get", "permission", **where) == permission:
                return
            self.call("POST", f"{path}/revoke", **where)
            self.call("POST", f"{path}/grant", **where, **given)

    def model(self, name: str) -> None:
        """The model, the experiment that holds its files, and that of its trials. `writing` may add to them, and
        delete nothing."""
        self.call("POST", "2.0/mlflow/registered-models/create", there="RESOURCE_ALREADY_EXISTS", name=name)
        self.grant("writing", "registered_model", name, "EDIT")
        path, names = "2.0/mlflow/experiments", ("experiment", "experiment_id")
        for experiment in (name, f"{name}-trials"):
            self.call("POST", f"{path}/create", there="RESOURCE_ALREADY_EXISTS", name=experiment)
            found = self.found(f"{path}/get-by-name", *names, experiment_name=experiment)
            self.grant("writing", "experiment", found, "EDIT")


def end(text: str) -> NoReturn:
    sys.exit(" ".join(text.split()))


def main(models: list[str]) -> None:
    wanted = ("BUCKET", "SERVER", "ADMIN_PASSWORD", *(f"{account.upper()}_PASSWORD" for account in READERS))
    given = {name: variable(name) for name in wanted}
    try:
        make_bucket(boto3.client("s3"), given["BUCKET"])
    except (BotoCoreError, ClientError, ValueError) as error:  # ValueError: an address that is none
        end(f"the object store failed: {error}")
    server = Server(given["SERVER"], given["ADMIN_PASSWORD"])
    for account in READERS:
        server.account(account, given[f"{account.upper()}_PASSWORD"])
        for kind in ("registered_model", "experiment"):
            server.grant(account, kind, ANY, "READ")
    for model in models:
        server.model(model)
    sys.stdout.write(f"reading and writing have their rights; models: {', '.join(models) or 'none named'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
