"""Prepares the server: its bucket, the accounts `reading` and `writing`, and what they may do with which models.

    python setup.py MODEL...

Run it again for each new model, and after a password in .env was changed. What is there already stays.
"""

from __future__ import annotations

import os
import sys

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

ANY = "*"
READERS = ("reading", "writing")


class Server:
    """The server, as the account `admin`."""

    def __init__(self, address: str, password: str):
        self.address = address
        self.session = requests.Session()
        self.session.auth = ("admin", password)

    def call(self, method: str, path: str, *, there: str = "", **values: object) -> dict[str, object] | None:
        """The answer; None where it is the error `there`. Ends with one line for any other."""
        where = {"params": values} if method == "GET" else {"json": values}
        answer = self.session.request(method, f"{self.address}/api/{path}", timeout=60, **where)
        if answer.ok:
            return answer.json() if answer.content else {}
        if there and there in answer.text:
            return None
        sys.exit(f"{path} failed with {answer.status_code}: {answer.text[:300].strip()}")

    def account(self, name: str, password: str) -> None:
        words = {"username": name, "password": password}
        if self.call("POST", "2.0/mlflow/users/create", there="RESOURCE_ALREADY_EXISTS", **words) is None:
            self.call("PATCH", "2.0/mlflow/users/update-password", **words)

    def grant(self, account: str, kind: str, which: str, permission: str) -> None:
        where, given = {"username": account, "resource_type": kind, "resource_id": which}, {"permission": permission}
        path = "3.0/mlflow/users/permissions"
        if self.call("POST", f"{path}/grant", there="RESOURCE_ALREADY_EXISTS", **where, **given) is None:
            # It has a permission there, maybe another one, which is taken away first.
            if self.call("GET", f"{path}/get", **where)["permission"] == permission:
                return
            self.call("POST", f"{path}/revoke", **where)
            self.call("POST", f"{path}/grant", **where, **given)

    def model(self, name: str) -> None:
        """The model and the experiment that holds its files. `writing` may add to both, and delete nothing."""
        self.call("POST", "2.0/mlflow/registered-models/create", there="RESOURCE_ALREADY_EXISTS", name=name)
        self.call("POST", "2.0/mlflow/experiments/create", there="RESOURCE_ALREADY_EXISTS", name=name)
        found = self.call("GET", "2.0/mlflow/experiments/get-by-name", experiment_name=name)
        self.grant("writing", "registered_model", name, "EDIT")
        self.grant("writing", "experiment", found["experiment"]["experiment_id"], "EDIT")


def bucket(name: str) -> None:
    """The bucket, which keeps old versions of an object that is overwritten."""
    store = boto3.client("s3")
    try:
        if name not in [found["Name"] for found in store.list_buckets()["Buckets"]]:
            store.create_bucket(Bucket=name)
        store.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"the object store failed: {error}")


def main(models: list[str]) -> None:
    bucket(os.environ["BUCKET"])
    server = Server(os.environ["SERVER"], os.environ["ADMIN_PASSWORD"])
    for account in READERS:
        server.account(account, os.environ[f"{account.upper()}_PASSWORD"])
        for kind in ("registered_model", "experiment"):
            server.grant(account, kind, ANY, "READ")
    for model in models:
        server.model(model)
    sys.stdout.write(f"reading and writing have their rights; models: {', '.join(models) or 'none named'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
