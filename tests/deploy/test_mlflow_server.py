"""The server of `deploy/mlflow`: its files, and the server itself, from its own compose file, with a promotion."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from beampermit.digest import digest_folder
from beampermit.doctor.registry import registry as look_at_registry
from beampermit.doctor.subject import Subject, files_here
from beampermit.errors import Outside
from beampermit.registry import models
from beampermit.trials.tracking import Tracking
from support import studies
from support.loopback import free_port, listening
from support.mlflow_server import COMPOSE, FOLDER, SECRET, Deployed, deployment, filled_in
from support.paths import ROOT
from support.recorded_trials import record_through_an_outage
from support.registry_project import MODEL, Laboratory
from support.searched_project import copied

IN_CLEAR = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For requests without TLS: httpx would read all certificates of the machine for each one."""
ADMINISTRATION = {"setup", "backup-database", "backup-objects", "restore-objects", "restore-database"}


def test_only_the_proxy_is_reached_from_elsewhere_and_only_services_start_by_themselves() -> None:
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    assert {name for name, service in services.items() if "profiles" in service} == ADMINISTRATION
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not SECRET.search(" ".join(service.get("command", ()))), f"every user of the machine sees it of {name}"


@pytest.mark.parametrize("port", ["443", "8443"])
def test_the_proxy_listens_where_clients_reach_it(port: str) -> None:
    values = {"MLFLOW_HOST": "mlflow.lab.example", **({"MLFLOW_PORT": port} if port != "443" else {})}
    proxy = COMPOSE["services"]["proxy"]
    (address,) = re.findall(r"^https://(\S+) \{", (FOLDER / "Caddyfile").read_text(), re.MULTILINE)
    given = {name: filled_in(value, values) for name, value in proxy["environment"].items()}
    assert re.sub(r"\{\$(\w+)\}", lambda found: given[found[1]], address) == f"mlflow.lab.example:{port}"
    assert [filled_in(published, values) for published in proxy["ports"]] == [f"{port}:{port}"]
    (hosts,) = (word for word in COMPOSE["services"]["mlflow"]["command"] if word.startswith("--allowed-hosts="))
    # What clients send as the host: the port is there where it is not 443.
    assert filled_in(hosts, values).endswith(f"=mlflow.lab.example,mlflow.lab.example:{port},mlflow:5000")
    assert "#MLFLOW_PORT=443\n" in (FOLDER / ".env.example").read_text(), "the default of compose.yaml"


def test_a_service_starts_what_it_needs() -> None:
    """As on a new machine, where nothing runs that one of administration is the first to need."""
    services = COMPOSE["services"]

    def started(name: str) -> set[str]:
        needed = services[name].get("depends_on", {})
        return {name}.union(*map(started, needed))

    needs = {"PGHOST": "database", "AWS_ENDPOINT_URL": "store", "SERVER": "mlflow"}
    for name, service in services.items():
        wanted = {needed for variable, needed in needs.items() if variable in service.get("environment", {})}
        assert wanted <= started(name), name


def test_a_secret_without_a_value_stops_the_start() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (FOLDER / ".env.example").read_text(), re.MULTILINE))
    assert {name for name in example if SECRET.search(name)} <= asked
    assert {name for name in example if SECRET.search(name) and example[name]} == set(), "no password comes with us"
    with pytest.raises(AssertionError, match=r"ADMIN_PASSWORD is not set: set it in \.env"):
        filled_in("${ADMIN_PASSWORD:?set it in .env}", {})


def test_helm_has_the_settings_of_the_compose_file() -> None:
    """The chart's own schema judged the file when it was written; docs/mlflow-server.md says of which version."""
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    given = COMPOSE["services"]["mlflow"]["environment"]
    for name, value in values["extraEnvVars"].items():
        if name in given and "${" not in given[name]:
            assert value == filled_in(given[name], {}), name
    assert values["extraFlags"] == ["enableWorkspaces"]
    assert f"default_permission = {values['auth']['defaultPermission']}\n" in (FOLDER / "basic_auth.ini").read_text()


@pytest.fixture
def deployed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployment(tmp_path / "deployed", tmp_path_factory) as found:
        yield found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # what boto and moto warn of is theirs
def test_a_promotion_and_the_rights_of_each_account_and_a_restored_backup(
    deployed: Deployed,
    laboratory: Laboratory,
    searched_once: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """One test, because a server takes long to start."""
    lab = replace(laboratory, uri=deployed.url)
    with deployed.served():
        assert "models: none named" in deployed.run("setup")
        log_in(monkeypatch, deployed, "writing")
        with pytest.raises(Outside, match=rf"failed to return the tags of {MODEL}: .*403.*Permission denied"):
            lab.promote()
        assert f"models: {MODEL}" in deployed.run("setup", MODEL), "a second time, for a model"
        lab.promote()
        lab.change(2)
        lab.promote()
        assert (lab.champion(), lab.statuses()) == (2, {1: "former", 2: "champion"})
        lab.rollback()

        _reads(deployed, lab, monkeypatch, tmp_path / "read")
        _may(deployed, lab)
        _is_looked_at(deployed, lab, monkeypatch)
        _leaves_a_run(deployed, lab)
        before = _state(deployed, lab)
        _lose_and_restore(deployed)
        assert _state(deployed, lab) == before
        assert digest_folder(models.fetch_model(lab.last(), tmp_path / "restored", deployed.url)) == lab.last().digest

        _records_trials(deployed, searched_once, monkeypatch, tmp_path / "trials")
        _retires(deployed, lab, monkeypatch)
    log = deployed.log.read_text()
    assert [name for name, value in deployed.values.items() if SECRET.search(name) and value in log] == []


def log_in(monkeypatch: pytest.MonkeyPatch, deployed: Deployed, account: str) -> None:
    """What a job gets as secrets: the account of all that asks the registry from now on."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", deployed.password(account))


def _reads(deployed: Deployed, lab: Laboratory, monkeypatch: pytest.MonkeyPatch, into: Path) -> None:
    log_in(monkeypatch, deployed, "reading")
    assert (lab.champion(), lab.statuses()) == (1, {1: "champion", 2: "former"})
    assert digest_folder(models.fetch_model(lab.last(), into, deployed.url)) == lab.last().digest
    with pytest.raises(Outside, match=r"failed to move alias champion of bpm-faults: .*403.*Permission denied"):
        lab.registry.set_alias(MODEL, "champion", 2)
    log_in(monkeypatch, deployed, "writing")


def _is_looked_at(deployed: Deployed, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`beampermit doctor` says what each account may do, and what it tries changes nothing."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", deployed.url)
    subject = Subject("here", files_here(lab.project), "main", project=lab.project, try_writing=True)
    before = _registered(lab)
    for account, said in (("reading", "it may read, and not write"), ("writing", "it may read and write")):
        log_in(monkeypatch, deployed, account)
        assert look_at_registry(subject).reason.endswith(f"answers the account {account}: {said} {MODEL}")
    assert look_at_registry(replace(subject, try_writing=False)).reason.endswith("tells whether it may write")
    assert _registered(lab) == before
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    assert "refuses the account writing" in look_at_registry(subject).reason
    log_in(monkeypatch, deployed, "writing")


def _may(deployed: Deployed, lab: Laboratory) -> None:
    """What each account is answered, of what a promotion does and what nobody but `admin` may."""
    experiment = _asked(deployed, "admin", "GET", "experiments/get-by-name", experiment_name=MODEL)[1]["experiment"]
    run = lab.registry.versions(MODEL)[0].run
    place = f"{experiment['artifact_location']}/{run}/artifacts/model"
    version = {"name": MODEL, "run_id": run}
    elsewhere = (
        "s3://mlflow/other/model",
        "file:///etc",
        place.removesuffix("/model"),
        place.replace("default", "others"),
    )
    reads = (
        ("GET", "registered-models/get", {"name": MODEL}),
        ("GET", "experiments/get-by-name", {"experiment_name": MODEL}),
    )
    adds = (
        ("POST", "registered-models/alias", {"name": MODEL, "alias": "champion", "version": "1"}),
        ("POST", "model-versions/set-tag", {"name": MODEL, "version": "1", "key": "note", "value": "x"}),
        ("POST", "model-versions/create", {**version, "source": place}),
        ("POST", "runs/create", {"experiment_id": experiment["experiment_id"]}),
    )
    never = (
        ("DELETE", "registered-models/alias", {"name": MODEL, "alias": "champion"}),
        ("DELETE", "model-versions/delete", {"name": MODEL, "version": "1"}),
        ("DELETE", "registered-models/delete", {"name": MODEL}),
        ("POST", "runs/delete", {"run_id": run}),
        ("POST", "experiments/delete", {"experiment_id": experiment["experiment_id"]}),
        ("POST", "registered-models/create", {"name": "a-name-to-come"}),
        ("POST", "experiments/create", {"name": "a-name-to-come"}),
        ("POST", "runs/create", {"experiment_id": "0"}),
        ("POST", "users/create", {"username": "mine", "password": "a-password-of-mine"}),
        ("PATCH", "users/update-password", {"username": "admin", "password": "a-password-of-mine"}),
        ("PATCH", "users/update-admin", {"username": "writing", "is_admin": True}),
    )
    tried = (
        ("reading", reads, 200),
        ("reading", (*adds, *never), 403),
        ("writing", (*reads, *adds), 200),
        ("writing", never, 403),
    )
    for account, requests, code in tried:
        for method, path, values in requests:
            assert _asked(deployed, account, method, path, **values)[0] == code, f"{account}: {method} {path} {values}"
    for source in elsewhere:
        code, said = _asked(deployed, "writing", "POST", "model-versions/create", **version, source=source)
        assert (code, said["message"]) == (400, f"Invalid model version source: '{source}'.")
    grants = {"username": "writing", "resource_type": "registered_model", "resource_id": MODEL, "permission": "MANAGE"}
    assert _asked(deployed, "writing", "POST", "3.0:users/permissions/grant", **grants)[0] == 403

    files = f"{deployed.url}/api/2.0/mlflow-artifacts/artifacts/{place.removeprefix('mlflow-artifacts:/')}/MLmodel"
    for account, method, code in (("reading", "GET", 200), ("reading", "PUT", 403), ("writing", "DELETE", 403)):
        asked = _requested(method, files, auth=(account, deployed.password(account)))
        assert asked.status_code == code, f"{account}: {method} {files}"
    for path in ("/", "/version", "/signup", "/graphql", "/metrics", files.removeprefix(deployed.url)):
        assert _requested("GET", deployed.url + path).status_code == 401, path
    wrong = _requested("GET", f"{deployed.url}/version", auth=("reading", deployed.password("writing")))
    assert wrong.status_code == 401
    login = ("reading", deployed.password("reading"))
    models_of_all = f"{deployed.url}/api/2.0/mlflow/registered-models/search"
    other = _requested("GET", models_of_all, headers={"Host": "evil.example"}, auth=login)
    assert (other.status_code, "Invalid Host" in other.text) == (403, True)


def _leaves_a_run(deployed: Deployed, lab: Laboratory) -> None:
    """Whoever may promote may delete nothing, and a correction of the registry is not a failure for that."""
    experiment = _asked(deployed, "writing", "GET", "experiments/get-by-name", experiment_name=MODEL)[1]["experiment"]
    tags = [{"key": "beampermit.permit", "value": f"sha256:{'d' * 64}"}]
    values = {"experiment_id": experiment["experiment_id"], "start_time": 1, "tags": tags}
    assert _asked(deployed, "writing", "POST", "runs/create", **values)[0] == 200
    (line,) = lab.reconcile()
    assert line.endswith(f"no version was made, stays: {deployed.url} lets this account delete no runs")


def _asked(deployed: Deployed, account: str, method: str, path: str, **values: object) -> tuple[int, dict[str, Any]]:
    version, _, path = path.rpartition(":")
    given = {"params": values} if method == "GET" else {"json": values}
    login = (account, deployed.password(account))
    address = f"{deployed.url}/api/{version or '2.0'}/mlflow/{path}"
    answer = _requested(method, address, auth=login, **given)
    return answer.status_code, answer.json() if answer.text.startswith("{") else {}


def _requested(method: str, address: str, **given: Any) -> httpx.Response:
    return httpx.request(method, address, verify=IN_CLEAR, timeout=60, **given)


def _registered(lab: Laboratory) -> tuple[object, ...]:
    return lab.champion(), lab.registry.versions(MODEL), lab.registry.tags(MODEL)


def _state(deployed: Deployed, lab: Laboratory) -> tuple[object, ...]:
    users = [_asked(deployed, "admin", "GET", "users/get", username=name) for name in ("reading", "writing")]
    return _registered(lab), users, lab.reconcile()


def _lose_and_restore(deployed: Deployed) -> None:
    """Backup, all gone, restore: as on the page, but that the server is left running, which takes long to start."""
    import boto3

    deployed.run("backup-database")
    assert "0 were there" in deployed.run("backup-objects")
    assert deployed.run("backup-objects").startswith("0 objects copied"), "nothing is copied twice"

    values = deployed.values
    login = {"aws_access_key_id": values["STORE_ACCESS_KEY"], "aws_secret_access_key": values["STORE_SECRET_KEY"]}
    store = boto3.resource("s3", endpoint_url=values["STORE_ENDPOINT"], region_name="us-east-1", **login)
    store.Bucket("mlflow").object_versions.delete()
    store.Bucket("mlflow").delete()
    _psql(deployed, "DROP DATABASE mlflow WITH (FORCE)", "CREATE DATABASE mlflow", within="postgres")

    dump = deployed.folder / "backup/database.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[: len(whole) // 2])
    assert deployed.ended("restore-database").returncode != 0
    assert _psql(deployed, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0", "all or nothing"
    dump.write_bytes(whole)

    page = (ROOT / "docs/mlflow-server.md").read_text()
    steps = re.findall(r"^docker compose run --rm (restore-\S+)", page, re.MULTILINE)
    assert steps == ["restore-objects", "restore-database"]
    for step in steps:
        deployed.run(step)
    deployed.run("restore-database")  # over what is there, too


def _psql(deployed: Deployed, *statements: str, within: str = "") -> str:
    values = deployed.values
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    variables = {name: values[f"DATABASE_{which}"] for name, which in names.items()}
    variables |= {"PGDATABASE": within} if within else {}
    words = [word for statement in statements for word in ("-c", statement)]
    command = [deployed.programs[1] / "psql", "-qtA", *words]
    done = subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _records_trials(deployed: Deployed, made: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """With the account `writing`, in the experiment that `setup.py` made; in that of another model it may not."""
    with monkeypatch.context() as patch:
        record_through_an_outage(deployed.port, copied(made, folder, patch), folder, patch)
    other = Tracking(studies.study().model_copy(update={"name": "others-0123abcd"}), deployed.url, [], lambda _: [])
    other.finish()
    assert other.problem.startswith("there is no experiment others-trials, and this account may make none: an admin")


def _retires(deployed: Deployed, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alias of a retired model is removed by `admin`: MLflow has no right that is for this alone."""
    with pytest.raises(Outside, match=r"failed to remove alias champion of bpm-faults: .*Permission denied") as refused:
        lab.retire()
    assert str(refused.value).startswith("the ledger was updated (retire bpm-faults version 1), the registry was not: ")
    assert refused.value.hint == "beampermit reconcile"
    assert lab.events()[-1] == ("retire", 1)
    log_in(monkeypatch, deployed, "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", deployed.password("admin"))
    assert "alias champion removed from version 1: the model is out of service" in lab.reconcile()


class Says(BaseHTTPRequestHandler):
    """The server behind the proxy: says what it was asked with."""

    def do_GET(self) -> None:
        content = f"{self.headers['Host']} {self.headers['Authorization']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
def test_the_proxy_speaks_tls_alone_with_the_laboratory_s_certificate(tmp_path: Path) -> None:
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("caddy is not installed: apt-get install caddy")
    port = free_port()
    host = f"localhost:{port}"
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -keyout tls.key -out tls.crt -days 1 -subj /CN=localhost"
    subprocess.run(
        [*openssl.split(), "-addext", "subjectAltName=DNS:localhost"], cwd=tmp_path, check=True, capture_output=True
    )
    file = tmp_path / "Caddyfile"
    file.write_text((FOLDER / "Caddyfile").read_text().replace("/certs/", f"{tmp_path}/"))
    said = COMPOSE["services"]["proxy"]
    command = [program if word == "caddy" else word.replace("/etc/caddy", str(tmp_path)) for word in said["command"]]
    with listening(Says) as upstream:
        values = {"MLFLOW_HOST": "localhost", "MLFLOW_PORT": str(port)}
        variables = {name: filled_in(value, values) for name, value in said["environment"].items()}
        assert variables == {**values, "MLFLOW_UPSTREAM": "mlflow:5000"}
        variables |= {"MLFLOW_UPSTREAM": f"127.0.0.1:{upstream}", "HOME": str(tmp_path)}
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
        try:
            trusted = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
            answer = _when_it_listens(f"https://{host}/", trusted)
            assert answer.text == f"{host} {httpx.BasicAuth('reading', 'a-password')._auth_header}", "the host stays"
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
            assert httpx.get(f"http://{host}/").status_code == 400
            sockets = psutil.Process(process.pid).net_connections()
            assert {found.laddr.port for found in sockets if found.status == "LISTEN"} == {port}
        finally:
            process.kill()
            process.wait()


def _when_it_listens(address: str, trusted: ssl.SSLContext) -> httpx.Response:
    end = time.monotonic() + 20
    while True:
        try:
            return httpx.get(address, verify=trusted, auth=("reading", "a-password"))
        except httpx.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.1)
