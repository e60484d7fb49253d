"""An S3 bucket as the remote: the same checks and the same safe pull as for a folder."""

from __future__ import annotations

import http.server
import itertools
import logging
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from beampermit.datasets.remote import Remote
from beampermit.datasets.repository import Repository
from beampermit.datasets.verification import check_remotes
from beampermit.errors import Failed, Outside
from beampermit.interlocks.data import DAT002, DAT003
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import leaf, without_data
from support.loopback import listening

BUCKET, KEYS = "lab-data", {"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "very-secret"}
IDLE = ("NO_PROXY", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # what boto and moto warn of is theirs
    pytest.mark.skipif(find_spec("dvc_s3") is None, reason="beampermit[s3] is not installed"),
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server on loopback."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class _Refusing(http.server.BaseHTTPRequestHandler):
    """Says 403 to everything, as S3 does to keys that it does not know."""

    def answer(self) -> None:
        body = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = answer  # noqa: N815 - as the server calls them

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Between(http.server.BaseHTTPRequestHandler):
    """Hands what is asked to the S3 server at `behind`: late, or not at all."""

    behind = ""
    delay = 0.0
    failing = 0
    """Every so many requests, one is told to slow down."""
    asked = itertools.count(1)

    def answer(self) -> None:
        time.sleep(self.delay)
        if self.failing and next(self.asked) % self.failing == 0:
            self.send_error(503, "Slow Down")
            return
        reply = httpx.request(self.command, self.behind + self.path, headers=dict(self.headers), trust_env=False)
        self.send_response(reply.status_code)
        for name in ("Content-Type", "ETag", "Last-Modified", "Content-Range"):
            if name in reply.headers:
                self.send_header(name, reply.headers[name])
        self.send_header("Content-Length", reply.headers.get("Content-Length", str(len(reply.content))))
        self.end_headers()
        self.wfile.write(reply.content)

    do_GET = do_HEAD = answer  # noqa: N815 - as the server calls them

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    with listening(_Refusing) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def between(over_s3: Project, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Between]]:
    """What stands between the project and its bucket."""
    monkeypatch.setattr(_Between, "behind", endpoint)
    with listening(_Between) as port:
        configure(over_s3, f"http://127.0.0.1:{port}")
        yield _Between


def configure(project: Project, endpoint: str) -> None:
    (project.root / ".dvc/config").write_text(
        "[core]\n    remote = bucket\n['remote \"bucket\"']\n"
        f"    url = s3://{BUCKET}/data\n    endpointurl = {endpoint}\n    verify = true\n"
    )


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in IDLE:
        monkeypatch.setenv(name, "127.0.0.1" if name == "NO_PROXY" else str(tmp_path / "none"))
    monkeypatch.delenv("AWS_PROFILE")
    for name, value in {**KEYS, "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)


@cache
def client(endpoint: str) -> Any:
    import boto3

    return boto3.client("s3", endpoint_url=endpoint)


@pytest.fixture
def over_s3(dvc_project: Project, storage: Path, endpoint: str) -> Project:
    """The project with a bucket of its own as its remote, with all that was pushed; on no base, so all is asked for."""
    found = client(endpoint)
    found.create_bucket(Bucket=BUCKET)
    for item in found.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        found.delete_object(Bucket=BUCKET, Key=item["Key"])
    for file in storage.rglob("files/md5/*/*"):  # as `dvc push` lays it out in a bucket too
        found.put_object(Bucket=BUCKET, Key=f"data/{file.relative_to(storage).as_posix()}", Body=file.read_bytes())
    configure(dvc_project, endpoint)
    dvc_project.git("branch", "--delete", "--force", "main")
    return Project(dvc_project.root)


def key(project: Project, path: str) -> str:
    return leaf(project.root, Path("data"), path).as_posix()


def test_data_on_a_bucket_are_looked_up_and_pulled(over_s3: Project) -> None:
    from beampermit.datasets.pull import pull

    verdicts = check(over_s3, select_interlocks(["DAT002", "DAT003"]))
    assert [(verdict.outcome, verdict.evidence.get("looked_up")) for verdict in verdicts] == [
        (Outcome.PASSED, 6),
        (Outcome.PASSED, None),
    ]
    without_data(over_s3)
    assert pull(Repository.of(over_s3)).fetched == 6
    assert (over_s3.root / "data/dataset/test.parquet").is_file()


def test_a_missing_object_on_the_bucket_is_named(over_s3: Project, endpoint: str) -> None:
    client(endpoint).delete_object(Bucket=BUCKET, Key=key(over_s3, "data/dataset/test.parquet"))
    finding = DAT002().check(Repository.of(over_s3))
    assert "data/dataset/test.parquet is not on bucket" in finding.reason


def test_other_bytes_of_the_same_size_are_not_checked_out(over_s3: Project, endpoint: str) -> None:
    from beampermit.datasets.pull import pull

    name = key(over_s3, "data/raw.parquet")
    found = client(endpoint)
    content = bytearray(found.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    content[len(content) // 2] ^= 0xFF
    found.put_object(Bucket=BUCKET, Key=name, Body=bytes(content))
    without_data(over_s3)
    with pytest.raises(Failed, match=r"data/raw.parquet on the remote does not match its hash"):
        pull(Repository.of(over_s3))
    assert not (over_s3.root / "data/raw.parquet").exists()


def test_a_manifest_on_the_bucket_is_checked_before_anything_is_fetched(over_s3: Project, endpoint: str) -> None:
    found = client(endpoint)
    listed = found.list_objects_v2(Bucket=BUCKET)["Contents"]
    manifest = next(item["Key"] for item in listed if item["Key"].endswith(".dir"))
    found.put_object(Bucket=BUCKET, Key=manifest, Body=b'[{"md5": "' + b"0" * 32 + b'", "relpath": "../x"}]')
    without_data(over_s3)
    finding = DAT003().check(Repository.of(over_s3))
    assert finding.outcome is Outcome.FAILED
    assert "the manifest of data/dataset" in finding.reason


def test_refused_keys_are_the_outside_world_and_stay_secret(
    dvc_project: Project, refusing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(dvc_project, refusing)
    dvc_project.git("branch", "--delete", "--force", "main")
    project = Project(dvc_project.root)
    with pytest.raises(Outside, match=r"the remote bucket \(s3://lab-data/data\) refuses access") as caught:
        DAT002().check(Repository.of(project))
    assert "very-secret" not in str(caught.value)
    (verdict,) = check(project, select_interlocks(["DAT002"]))
    assert (verdict.outcome, verdict.exit_code) == (Outcome.ERROR, 4)


def test_a_slow_bucket_is_waited_for(
    over_s3: Project, between: type[_Between], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(between, "delay", 0.3)
    assert check_remotes(Repository.of(over_s3)).missing == ()


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_flaky_bucket_never_makes_data_missing(
    over_s3: Project, between: type[_Between], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    monkeypatch.setattr(between, "failing", failing)
    try:
        missing = check_remotes(Repository.of(over_s3)).missing
    except Outside as error:
        assert "cannot be reached" in str(error)  # noqa: PT017 - one of the two ways to end
        missing = ()
    assert missing == ()


@pytest.mark.plants("DAT002")
def test_an_empty_bucket_is_said_to_be_empty(over_s3: Project, endpoint: str) -> None:
    found = client(endpoint)
    for item in found.list_objects_v2(Bucket=BUCKET)["Contents"]:
        found.delete_object(Bucket=BUCKET, Key=item["Key"])
    finding = DAT002().check(Repository.of(over_s3))
    assert finding.reason.startswith("the remote bucket (s3://lab-data/data) is empty: nothing was pushed to it yet")


def test_a_missing_bucket_is_the_outside_world(dvc_project: Project, endpoint: str) -> None:
    configure(dvc_project, endpoint)
    config = dvc_project.root / ".dvc/config"
    config.write_text(config.read_text().replace(BUCKET, "nobody-has-made-it"))
    dvc_project.git("branch", "--delete", "--force", "main")
    with pytest.raises(Outside, match="cannot be reached: The specified bucket does not exist"):
        DAT002().check(Repository.of(Project(dvc_project.root)))


def test_a_server_that_is_gone_is_the_outside_world(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: its client would try again for seconds."""
    monkeypatch.setattr(Remote, "_probe_store", lambda _: pytest.fail("its client was asked"))
    configure(dvc_project, "http://127.0.0.1:9")
    dvc_project.git("branch", "--delete", "--force", "main")
    with pytest.raises(Outside, match="cannot be reached"):
        DAT002().check(Repository.of(Project(dvc_project.root)))


def test_without_the_extra_the_next_command_is_named(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(dvc_project, "http://127.0.0.1:9")
    dvc_project.git("branch", "--delete", "--force", "main")
    monkeypatch.setitem(sys.modules, "dvc_s3", None)
    with pytest.raises(Outside) as caught:
        DAT002().check(Repository.of(Project(dvc_project.root)))
    assert caught.value.hint == "pip install 'beampermit[s3]'"
