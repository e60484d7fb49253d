"""The registry: model versions in MLflow, with tags and aliases.

An alias has no compare-and-swap, so the ledger decides and aliases are set to what it says.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from beampermit.digest import digest_folder
from beampermit.errors import BadInput, Failed, Outside
from beampermit.registry.client import is_new_file, open_client
from beampermit.registry.places import require_known_place
from beampermit.registry.refusals import hint_of, reason_of

VARIABLE = "MLFLOW_TRACKING_URI"
SQLITE = "sqlite:///"
DATABASE = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")
ADDRESS = re.compile(r"databricks(-uc)?|(?!(?i:file):)[A-Za-z][\w+.-]*:\S+")
"""Without a scheme, or with `file:`, MLflow would make a folder."""
CHALLENGER = "challenger"
"""Alias of the version that was registered last, and maybe not promoted."""
PREFIX = "beampermit."
IDENTITY = "identity"
"""Tag of the registered model that tells its registry from any other; the ledger records it."""
CREDENTIALS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
BOUNDS = {
    # MLflow's defaults, 7 retries of 120 s, take a quarter of an hour to notice that a server is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `tags` are those of beampermit, without prefix."""

    model: str
    number: int
    tags: Mapping[str, str]
    run: str


@dataclass(frozen=True)
class Run:
    """An MLflow run that holds the files of one promotion."""

    id: str
    permit: str
    began: datetime


def registry_uri(known: str = "") -> str:
    """`MLFLOW_TRACKING_URI`; `known` is the address that the ledger has, for the message.

    Raises `BadInput` where it is not set, or would make MLflow create something wherever the command runs.
    """
    uri = os.environ.get(VARIABLE, "")
    hint = export(known)
    if not uri:
        raise BadInput(f"{VARIABLE} is not set, so it is not known which registry is meant", hint=hint)
    return checked_uri(uri, VARIABLE, hint)


def checked_uri(uri: str, name: str, hint: str = "") -> str:
    """`uri`, which `name` gives. Raises `BadInput` as `registry_uri`."""
    plain = uri.startswith(SQLITE) and not re.search(r"[?#]|:memory:", uri) and uri != SQLITE
    if not ADDRESS.fullmatch(uri) or (uri.startswith("sqlite") and not plain):
        raise BadInput(f"{name} is {_without_secrets(uri)!r}, which is not the address of a registry", hint=hint)
    return uri


def export(address: str = "") -> str:
    """The command that names a registry, for hints. Whoever can write the ledger chose the address: it is quoted."""
    return f"export {VARIABLE}={shlex.quote(address) if address else 'ADDRESS'}"


def registry_address() -> str:
    """The address for documents; empty where none is set."""
    return public_address(os.environ.get(VARIABLE, ""))


def public_address(uri: str) -> str:
    """What everybody may read: without user, password and options."""
    if uri.startswith(SQLITE):
        return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).absolute()}"
    return urlunsplit(urlsplit(_without_secrets(uri))._replace(query="", fragment=""))[:500]


def is_new(uri: str) -> bool:
    """Whether the registry is a database that was never used as one; MLflow would create it, which takes seconds."""
    if not DATABASE.match(uri):
        return False
    if uri.startswith(SQLITE):
        return is_new_file(Path(uri.removeprefix(SQLITE)))
    from sqlalchemy import create_engine, inspect

    engine = create_engine(uri)
    try:
        return not inspect(engine).has_table("registered_models")
    finally:
        engine.dispose()


class Registry:
    """The MLflow at `uri`. Methods raise `Outside` where it does not answer or refuses.

    It must exist, unless with `create`: an empty one in place of the right one looks as if nothing was ever promoted.
    """

    def __init__(self, uri: str, *, create: bool = False):
        self.uri = uri
        self.name = _without_secrets(uri)
        for variable, value in BOUNDS.items():
            os.environ.setdefault(variable, value)
        with self._outside("open"):
            if not create and is_new(uri):
                raise Outside(
                    f"there is no registry at {self.name}; the first `promote` creates one",
                    hint=export(),
                )
            self._client = open_client(uri)

    def versions(self, model: str, **tags: str) -> list[Version]:
        """The versions of a model with all of `tags`, lowest first."""
        conditions = [f"name = '{model}'", *(f"tags.`{PREFIX}{key}` = '{value}'" for key, value in tags.items())]
        with self._outside("search versions"):
            rows = _pages(lambda page: self._client.search_model_versions(" and ".join(conditions), **page))
            return sorted(map(_parse, rows), key=lambda version: version.number)

    def version(self, model: str, number: int) -> Version | None:
        """None where there is no such version."""
        with self._outside(f"return version {number} of {model}"):
            version = self._or_none(lambda: self._client.get_model_version(model, str(number)))
            return _parse(version) if version else None

    def alias(self, model: str, alias: str) -> int | None:
        """The number of the version of an alias, or None."""
        version = self.aliased(model, alias)
        return version.number if version else None

    def aliased(self, model: str, alias: str) -> Version | None:
        """The version of an alias, or None."""
        with self._outside(f"return alias {alias} of {model}"):
            version = self._or_none(lambda: self._client.get_model_version_by_alias(model, alias))
            return _parse(version) if version else None

    def set_alias(self, model: str, alias: str, number: int) -> None:
        with self._outside(f"move alias {alias} of {model}"):
            self._client.set_registered_model_alias(model, alias, str(number))

    def delete_alias(self, model: str, alias: str) -> None:
        """An identity that may set an alias may lack the permission for this."""
        with self._outside(f"remove alias {alias} of {model}"):
            self._client.delete_registered_model_alias(model, alias)

    @property
    def address(self) -> str:
        """For the ledger and the documents."""
        return public_address(self.uri)

    def tags(self, model: str) -> Mapping[str, str]:
        """The tags of beampermit of the registered model, without prefix; none where there is no such model."""
        return self.shown(model, "")[1]

    def shown(self, model: str, alias: str) -> tuple[int | None, Mapping[str, str]]:
        """The number of the version of an alias, and the tags of the model, in one request."""
        with self._outside(f"return the tags of {model}"):
            found = self._or_none(lambda: self._client.get_registered_model(model))
            number = found.aliases.get(alias) if found else None
            return int(number) if number else None, _own_tags(found.tags) if found else {}

    def state(self, model: str) -> str | None:
        """The tag `state` of the model, or None."""
        return self.tags(model).get("state")

    def set_tags(self, model: str, **tags: str) -> None:
        """Tags of the registered model."""
        with self._outside(f"tag {model}"):
            for key, value in tags.items():
                self._client.set_registered_model_tag(model, PREFIX + key, value)

    def set_state(self, model: str, state: str) -> None:
        self.set_tags(model, state=state)

    def identify(self, model: str, identity: str = "") -> str:
        """The identity of the registry, which is created with the registered model; `identity` is the one to create."""
        found = self.tags(model).get(IDENTITY)
        if found:
            return found
        identity = identity or str(uuid.uuid4())
        if not self._create_model(model, {PREFIX + IDENTITY: identity}):
            # It is there: of two at once the first counts, and one that was made by hand gets the tag.
            found = self.tags(model).get(IDENTITY)
            if found is None:
                self.set_tags(model, **{IDENTITY: identity})
        return found or identity

    def tag(self, model: str, number: int, **tags: str) -> None:
        with self._outside(f"tag version {number} of {model}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(model, str(number), PREFIX + key, value)

    def store(
        self, model: str, folder: Path, permit: str, documents: Mapping[str, str], digest: str | None = None
    ) -> str:
        """Upload a model and texts into the MLflow run tagged with the permit's digest; the id of the run.

        A run that an earlier attempt left is used again. Raises `Failed` where the bytes have another digest.
        """
        with self._outside("store the model"), tempfile.TemporaryDirectory() as scratch:
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
        """Register the model of a run, with `tags` from the start; the number of the version."""
        self._create_model(model, {})
        with self._outside(f"register a version of {model}"):
            source = f"{self._client.get_run(run).info.artifact_uri}/model"
            prefixed = {PREFIX + key: value for key, value in tags.items()}
            version = self._client.create_model_version(model, source, run, tags=prefixed, await_creation_for=0)
            if self._client.get_run(run).info.lifecycle_stage == "deleted":  # by `remove_run`, just before
                self._client.restore_run(run)
            return int(version.version)

    def runs_without_version(self, model: str) -> list[Run]:
        """Runs of promotions of a model that no version of any model has, oldest first."""
        with self._outside("search runs"):
            experiment = self._client.get_experiment_by_name(model)
            if experiment is None:
                return []
            ids, tagged = [experiment.experiment_id], f"tags.`{PREFIX}permit` != ''"
            order = ["attributes.start_time ASC"]
            runs = _pages(lambda page: self._client.search_runs(ids, tagged, order_by=order, **page))
            used = {version.run for version in self.versions(model)}
            return [
                Run(run.info.run_id, run.data.tags[f"{PREFIX}permit"], _moment(run.info.start_time))
                for run in runs
                if run.info.run_id not in used and not self._has_version(run.info.run_id)
            ]

    def remove_run(self, run: Run) -> bool:
        """Delete a run, which MLflow can restore; not where a version has been made of it meanwhile."""
        with self._outside(f"remove run {run.id}"):
            self._client.delete_run(run.id)
            # Whoever makes a version looks at the run after that, and this looks at the versions: one of the two sees.
            if self._has_version(run.id):
                self._client.restore_run(run.id)
                return False
            return True

    def _has_version(self, run: str) -> bool:
        return bool(self._client.search_model_versions(f"run_id = '{run}'", max_results=1))

    def _create_model(self, model: str, tags: dict[str, str]) -> bool:
        """Whether it was not there before. Asked first: an account that may add versions often may create no model."""
        from mlflow.exceptions import MlflowException

        with self._outside(f"register {model}"):
            if self._or_none(lambda: self._client.get_registered_model(model)):
                return False
            try:
                self._client.create_registered_model(model, tags=tags)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return False
            return True

    def download(self, model: str, number: int, into: Path, document: str = "") -> Path:
        """Download the folder of a version, or a document that was stored with it, to a place below `into`.

        The caller must verify its bytes.
        """
        from mlflow.artifacts import download_artifacts

        with self._outside(f"return the bytes of version {number} of {model}"):
            source = self._client.get_model_version_download_uri(model, str(number))
            require_known_place(f"version {number} of {model}", source, self.uri, lambda: self._place(model))
            if document:
                source = f"{source.rpartition('/')[0]}/{document}"
            # Not through `models:/`, which adds a file to the folder.
            folder = download_artifacts(artifact_uri=source, dst_path=str(into), tracking_uri=self.uri)
            return Path(folder)

    def _place(self, model: str) -> str:
        """Where the model's experiment keeps files; empty where there is none."""
        experiment = self._client.get_experiment_by_name(model)
        return str(experiment.artifact_location) if experiment else ""

    def _run(self, model: str, permit: str) -> str:
        experiment = self._experiment(model)
        runs = self._client.search_runs([experiment], f"tags.`{PREFIX}permit` = '{permit}'", max_results=1)
        if runs:
            return runs[0].info.run_id
        return self._client.create_run(experiment, tags={f"{PREFIX}permit": permit}, run_name=model).info.run_id

    def _experiment(self, model: str) -> str:
        experiment = self._client.get_experiment_by_name(model)
        if experiment:
            return experiment.experiment_id
        return self._client.create_experiment(model, artifact_location=self._artifacts())

    def _artifacts(self) -> str | None:
        """Beside the database file; a server has its own location."""
        if not self.uri.startswith(SQLITE):
            return None
        return (Path(self.uri.removeprefix(SQLITE)).absolute().parent / "mlartifacts").as_uri()

    def _without_secrets(self, text: str) -> str:
        """An error message without user, password and token."""
        user = urlsplit(self.uri).netloc.rpartition("@")[0]
        text = text.replace(self.uri, self.name)
        for secret in filter(None, (user and f"{user}@", *map(os.environ.get, CREDENTIALS))):
            text = text.replace(secret, "")
        return text

    @staticmethod
    def _or_none(ask: Any) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            # Some versions of MLflow report a missing alias as a bad parameter.
            if error.error_code == "RESOURCE_DOES_NOT_EXIST" or ("alias" in str(error) and "not found" in str(error)):
                return None
            raise

    @contextmanager
    def _outside(self, action: str) -> Iterator[None]:
        """Turn the many errors of MLflow and its stores into `Outside`."""
        try:
            yield
        except (BadInput, Outside, Failed):
            raise
        except Exception as error:
            reason = self._without_secrets(reason_of(error))
            raise Outside(
                f"the registry {self.name} failed to {action}: {reason}", hint=hint_of(reason, VARIABLE)
            ) from None


def _pages(search: Callable[[dict[str, Any]], Any]) -> Iterator[Any]:
    """The rows of all pages of a search."""
    token: str | None = None
    while token is None or token:
        page = search({"max_results": 1000, "page_token": token})
        yield from page
        token = page.token or ""


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)


def _parse(version: Any) -> Version:
    return Version(version.name, int(version.version), _own_tags(version.tags), version.run_id or "")


def _own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(PREFIX): value for key, value in tags.items() if key.startswith(PREFIX)}


def _without_secrets(uri: str) -> str:
    """Without the login. Databases take a password with / or ? in it; what has no host in its place may be one."""
    kind, mark, rest = uri.rpartition("://") if "://" not in uri else uri.partition("://")
    if uri.startswith(SQLITE) or "@" not in rest:
        return uri
    login, at, host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    is_place = re.search(r"(^[^:]*|\]|:\d*)$", host)
    if not mark or not is_place or (DATABASE.match(uri) and "@" in rest[len(login + at) :]):
        return f"{kind}{mark}{rest.rpartition('@')[2]}"
    return f"{kind}{mark}{rest[len(login + at) :]}"
