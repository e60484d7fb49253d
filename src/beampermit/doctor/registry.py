"""MLflow: whether it answers from here, and what this account may do there. MLflow itself takes seconds to import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.doctor.results import Found, missing, there, unseen
from beampermit.doctor.subject import Subject
from beampermit.errors import BadInput, Outside, one_line
from beampermit.registry.mlflow import DATABASE, SQLITE, VARIABLE, checked_uri, export, is_new, public_address

TIMEOUT = 4.0
API = "/api/2.0/mlflow"
WEB = ("http://", "https://")
USER, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
NO_SUCH_TAG = "beampermit.doctor"


def registry(subject: Subject) -> Found:
    """That of our variables, else that of the repository's, which gets no login of ours."""
    own = os.environ.get(VARIABLE, "")
    uri = own or _of_repository(subject)
    if not uri:
        return unseen(f"{VARIABLE} is not set here, so no registry was asked", export())
    try:
        checked_uri(uri, VARIABLE)
    except BadInput as error:
        return missing(str(error), export())
    if DATABASE.match(uri):
        return _database(uri)
    if not uri.startswith(WEB):
        return unseen(f"{public_address(uri)} is asked by `beampermit status` alone", "beampermit status")
    return _Server(uri, with_login=bool(own)).look(subject)


def _of_repository(subject: Subject) -> str:
    from beampermit.github.client import Refused

    if subject.client is None:
        return ""
    try:
        return subject.variables.get(VARIABLE) or subject.shared_variables.get(VARIABLE, "")
    except Refused:
        return ""


def _database(uri: str) -> Found:
    name = public_address(uri)
    try:
        new = is_new(uri)
    except Exception as error:  # each database raises its own
        why = " ".join(str(error).split())[:200]
        raise Outside(f"the registry {name} does not answer: {type(error).__name__} {why}", hint=export()) from None
    if new:
        return there(f"there is no registry at {name} yet: the first promotion makes it")
    if uri.startswith(SQLITE) and not os.access(Path(uri.removeprefix(SQLITE)), os.W_OK):
        return there(f"the registry {name} is there, and is read only")
    return there(f"the registry {name} is there; who reaches the database may write")


@dataclass(frozen=True)
class _Server:
    uri: str
    with_login: bool

    def look(self, subject: Subject) -> Found:
        status, body = self._ask("GET", "/registered-models/search", max_results="1")
        name, user = public_address(self.uri), os.environ.get(USER, "")
        who = f"the account {user}" if self.with_login and user else "this account"
        if status in (401, 403):
            login = "" if self.with_login else "; a login is sent only to the address in our own variables"
            return unseen(f"the registry {name} refuses {who}{login}", f"export {USER}=... {PASSWORD}=...")
        if status >= 500:
            raise Outside(f"the registry {name} answers with {status}")
        if status != 200 or not isinstance(body, Mapping):
            reason = f"{name} answers with {status}" + ("" if isinstance(body, Mapping) else ", and not as MLflow does")
            return missing(reason, export()) if status == 404 else unseen(reason, export())
        return there(f"the registry {name} answers {who}{self._rights(subject, user)}")

    def _rights(self, subject: Subject, user: str) -> str:
        model = _model(subject)
        if self.with_login and user:
            status, body = self._ask("GET", "/users/get", username=user)
            own = body.get("user") if status == 200 and isinstance(body, Mapping) else None
            if isinstance(own, Mapping) and own.get("is_admin"):
                return ", which is an administrator: it may do everything"
        if not subject.try_writing or not model:
            return ": it may read; --try-writing tells whether it may write"
        # Nobody has this tag: its removal changes nothing, and who may not write is refused before that is looked at.
        status, _ = self._ask("DELETE", "/registered-models/delete-tag", {"name": model, "key": NO_SUCH_TAG})
        return f": it may read, and not write {model}" if status in (401, 403) else f": it may read and write {model}"

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None, **query: str) -> tuple[int, Any]:
        """Status and JSON, None for what is none. Raises `Outside`."""
        import httpx

        address, login = f"{self.uri.rstrip('/')}{API}{path}", self._login() if self.with_login else {}
        try:
            with httpx.Client(timeout=TIMEOUT, verify=_verify(), follow_redirects=False) as client:
                sent = client.request(method, address, params=query, json=body, **login)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            why = one_line(error)
            hint = export()
            raise Outside(f"the registry {public_address(self.uri)} does not answer: {why}", hint=hint) from None
        try:
            return sent.status_code, sent.json()
        except ValueError:
            return sent.status_code, None

    @staticmethod
    def _login() -> dict[str, Any]:
        user, password, token = (os.environ.get(name, "") for name in (USER, PASSWORD, TOKEN))
        if user:
            return {"auth": (user, password)}
        return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _verify() -> Any:
    """As MLflow's client: nothing, a file of authorities, or those of the system."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() == "true":
        return False
    own = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get("REQUESTS_CA_BUNDLE")
    if not own:
        return True
    import ssl

    return ssl.create_default_context(cafile=own)


def _model(subject: Subject) -> str:
    try:
        return subject.contract.model.name
    except BadInput:
        return ""
