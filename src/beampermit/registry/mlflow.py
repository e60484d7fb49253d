"""The registry: versions of models in MLflow, found by tag and shown by alias. Nothing here decides anything.

An alias is one row that the last writer wins, so the ledger decides and the aliases are moved to what it says.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from beampermit.digest import digest_folder
from beampermit.errors import BadInput, Failed, Outside

VARIABLE = "MLFLOW_TRACKING_URI"
FILE_NAME = "mlflow.db"
SQLITE = "sqlite:///"
PREFIX = "beampermit."
CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
DENIED = re.compile(r"error code 40[13]\b|UNAUTHENTICATED|PERMISSION_DENIED|unauthori[sz]ed|forbidden", re.IGNORECASE)
"""What a registry, or a proxy before it, says to an identity that it does not know any more, or that may not."""
BOUNDS = {
    # MLflow's own are 7 retries of 120 s: a quarter of an hour until a server that is away is noticed.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Version:
    """A version of a registered model, with the tags that are ours (without their prefix)."""

    model: str
    number: int
    tags: Mapping[str, str]
    run: str


def registry_uri(root: Path) -> str:
    """Where the registry of the project at `root` is: `MLFLOW_TRACKING_URI`, else `mlflow.db` in the project."""
    return os.environ.get(VARIABLE) or f"{SQLITE}{(root / FILE_NAME).absolute()}"


def is_new(uri: str) -> bool:
    """Whether the registry is a file that is not there yet: opening it takes some seconds."""
    return uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists()


def require_registry(uri: str) -> None:
    """Raises `Outside` where the registry is a file that is not there: whoever only looks does not make one."""
    if is_new(uri):
        raise Outside(f"there is no registry at {uri}", hint=f"export {VARIABLE}=ADDRESS")


class Registry:
    """The MLflow at `uri`. Every method raises `Outside` when it does not answer, or refuses."""

    def __init__(self, uri: str):
        self.uri = uri
        self.name = _without_secrets(uri)
        for variable, value in BOUNDS.items():
            os.environ.setdefault(variable, value)
        with self._asked("cannot be opened"):
            from mlflow import MlflowClient

            for logger in ("mlflow", "alembic"):
                logging.getLogger(logger).setLevel(logging.ERROR)
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def versions(self, model: str, **tags: str) -> list[Version]:
        """The versions of a model that bear all of `tags`, lowest first."""
        words = [f"name = '{model}'", *(f"tags.`{PREFIX}{key}` = '{value}'" for key, value in tags.items())]
        found: list[Version] = []
        token: str | None = None
        with self._asked("cannot be searched"):
            while True:
                page = self._client.search_model_versions(" and ".join(words), max_results=1000, page_token=token)
                found += [_version(one) for one in page]
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: version.number)

    def version(self, model: str, number: int) -> Version | None:
        """One version, or None where the registry has none of that number."""
        with self._asked(f"cannot give version {number} of {model}"):
            found = self._unless_absent(lambda: self._client.get_model_version(model, str(number)))
            return _version(found) if found else None

    def alias(self, model: str, alias: str) -> int | None:
        """The version that an alias shows, or None."""
        with self._asked(f"cannot say which version of {model} is {alias}"):
            found = self._unless_absent(lambda: self._client.get_model_version_by_alias(model, alias))
            return int(found.version) if found else None

    def set_alias(self, model: str, alias: str, number: int) -> None:
        """Move an alias."""
        with self._asked(f"does not let {alias} of {model} be moved"):
            self._client.set_registered_model_alias(model, alias, str(number))

    def delete_alias(self, model: str, alias: str) -> None:
        """Take an alias away, which not every identity may that can move one."""
        with self._asked(f"does not let {alias} of {model} be removed"):
            self._client.delete_registered_model_alias(model, alias)

    def state(self, model: str) -> str | None:
        """What the model is marked as, or None."""
        with self._asked(f"cannot say how {model} is marked"):
            found = self._unless_absent(lambda: self._client.get_registered_model(model))
            return found.tags.get(f"{PREFIX}state") if found else None

    def set_state(self, model: str, state: str) -> None:
        """Mark the model itself."""
        with self._asked(f"does not let {model} be marked"):
            self._client.set_registered_model_tag(model, f"{PREFIX}state", state)

    def tag(self, model: str, number: int, **tags: str) -> None:
        """Set tags of ours on a version."""
        with self._asked(f"does not let version {number} of {model} be tagged"):
            for key, value in tags.items():
                self._client.set_model_version_tag(model, str(number), PREFIX + key, value)

    def store(
        self, model: str, folder: Path, permit: str, documents: Mapping[str, str], digest: str | None = None
    ) -> str:
        """Keep the bytes of a model, and texts beside it, in a run that bears the permit's digest; give the run's id.

        A run that an earlier attempt left is used again, whatever of it was already there. Raises `Failed` where the
        bytes that are about to leave have another digest than the one given.
        """
        with self._asked("does not take the model"), tempfile.TemporaryDirectory() as scratch:
            run = self._run(model, permit)
            copy = Path(scratch, "model")
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
            if digest is not None and digest_folder(copy) != digest:
                raise Failed("the model was changed after it was judged", file=folder, hint="beampermit data pull")
            self._client.log_artifacts(run, str(copy), "model")
            for name, text in documents.items():
                self._client.log_text(run, text, name)
            self._client.set_terminated(run)
            return run

    def create_version(self, model: str, run: str, **tags: str) -> int:
        """Register the model of a run as a version that bears `tags` from the start; give its number."""
        from mlflow.exceptions import MlflowException

        with self._asked(f"does not take a version of {model}"):
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"{self._client.get_run(run).info.artifact_uri}/model"
            named = {PREFIX + key: value for key, value in tags.items()}
            made = self._client.create_model_version(model, source, run, tags=named, await_creation_for=0)
            return int(made.version)

    def download(self, model: str, number: int, into: Path) -> Path:
        """Bring the folder of a version below `into`; the caller judges its bytes."""
        from mlflow.artifacts import download_artifacts

        with self._asked(f"cannot give the bytes of version {number} of {model}"):
            source = self._client.get_model_version_download_uri(model, str(number))
            # Not through `models:/`: that adds a file of its own to the folder.
            found = download_artifacts(artifact_uri=source, dst_path=str(into), tracking_uri=self.uri)
            return Path(found)

    def _run(self, model: str, permit: str) -> str:
        experiment = self._experiment(model)
        left = self._client.search_runs([experiment], f"tags.`{PREFIX}permit` = '{permit}'", max_results=1)
        if left:
            return left[0].info.run_id
        return self._client.create_run(experiment, tags={f"{PREFIX}permit": permit}, run_name=model).info.run_id

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found:
            return found.experiment_id
        return self._client.create_experiment(model, artifact_location=self._artifacts())

    def _artifacts(self) -> str | None:
        """Beside a file of ours; a server knows its own place."""
        if not self.uri.startswith(SQLITE):
            return None
        return (Path(self.uri.removeprefix(SQLITE)).absolute().parent / "mlartifacts").as_uri()

    def _without_secrets(self, text: str) -> str:
        """An error's words without user, password and token, however much of them it repeats."""
        who = urlsplit(self.uri).netloc.rpartition("@")[0]
        found = text.replace(self.uri, self.name)
        for secret in filter(None, (who and f"{who}@", *map(os.environ.get, CREDENTIALS))):
            found = found.replace(secret, "")
        return found

    @staticmethod
    def _unless_absent(ask: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            # A missing alias is called a bad parameter by some versions.
            if error.error_code == "RESOURCE_DOES_NOT_EXIST" or ("alias" in str(error) and "not found" in str(error)):
                return None
            raise

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Make one error of the many kinds that MLflow and its stores raise."""
        try:
            yield
        except (BadInput, Outside, Failed):
            raise
        except Exception as error:
            reason = self._without_secrets(_reason(error))
            raise Outside(f"the registry {self.name} {what}: {reason}", hint=_fix(reason)) from None


def _version(found: Any) -> Version:
    tags = {key.removeprefix(PREFIX): value for key, value in found.tags.items() if key.startswith(PREFIX)}
    return Version(found.name, int(found.version), tags, found.run_id or "")


def _fix(reason: str) -> str:
    if DENIED.search(reason):
        return (
            "renew MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask for the "
            "right; then run the same command again"
        )
    return f"look whether {VARIABLE} is right and the registry is up, then run the same command again"


def _reason(error: Exception) -> str:
    """The first line of an error; of a connection that failed, the cause at its end."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    cause = re.search(r"\(Caused by \w+\((.*)\)\)", lines[0])
    if cause is None:
        return lines[0][:300]
    # Such as `'<a connection>: Failed to establish a new connection'`.
    words = cause[1].strip("\"'")
    return words.partition(": ")[2] or words


def _without_secrets(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
