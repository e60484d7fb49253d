"""`actions/setup` logs in to an object store with the job's identity: moto's STS and S3, with a role that only reads.

GitHub's token is a stand-in's, and moto believes any: whom AWS gives a role to is AWS's part (docs/object-stores.md).
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from support.loopback import answering, listening
from support.paths import ROOT, module_at

SCRIPT = ROOT / "actions/setup/store.py"
STORE = module_at(SCRIPT)
JOB = "job's-own-token"
READS = ["s3:GetObject", "s3:ListBucket"]
ADMINISTRATOR = {"region_name": "us-east-1", "aws_access_key_id": "ada", "aws_secret_access_key": "of-the-lab"}
ROLES = {"reading": READS, "writing": [*READS, "s3:PutObject"]}
TRUSTS = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRoleWithWebIdentity"}]}


class Identity(BaseHTTPRequestHandler):
    """GitHub's answer to a job that asks who it is."""

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == f"Bearer {JOB}"
        audience = parse_qs(urlsplit(self.path).query).get("audience", [""])[0]
        content = json.dumps({"value": f"token-for-{audience}"}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    variables: dict[str, str]


def log_in(folder: Path, login: str, **variables: str) -> Ended:
    """What the step says, and what it passes to the following ones."""
    passed = folder / "passed"
    passed.write_text("")
    with listening(Identity) as port:
        job = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{port}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": JOB,
            "GITHUB_ENV": str(passed),
            "GITHUB_RUN_ID": "11",
            "RUNNER_TEMP": str(folder),
            "STORE_LOGIN": login,
            **variables,
        }
        code, said = ended({name: value for name, value in job.items() if value})
    return Ended(code, said, dict(line.split("=", 1) for line in passed.read_text().splitlines()))


def ended(job: dict[str, str]) -> tuple[int, str]:
    """Exit status and output of the script in this process; `test_the_script_is_one_of_python_s_alone` starts it."""
    said, code = io.StringIO(), 0
    with patch.dict(os.environ, job, clear=True), redirect_stdout(said):
        try:
            STORE.main()
        except SystemExit as end:
            code = int(str(end.code))
    return code, said.getvalue()


@pytest.mark.slow
def test_the_script_is_one_of_python_s_alone(tmp_path: Path) -> None:
    """A step's Python has no packages, and its folder is the project's."""
    (tmp_path / "json.py").write_text("raise SystemExit('the project logs in')\n")
    job = {"GITHUB_ENV": str(tmp_path / "passed"), "RUNNER_TEMP": str(tmp_path), "STORE_LOGIN": "minio x"}
    words = [sys.executable, "-IS", SCRIPT]
    done = subprocess.run(words, cwd=tmp_path, env=job, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("::error::STORE_LOGIN must be `aws ROLE [REGION]`, `google")


@pytest.fixture
def aws() -> Iterator[str]:
    """An AWS on loopback with a bucket and two roles."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import boto3

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=address, **ADMINISTRATOR).create_bucket(Bucket="lab-data")
    iam = boto3.client("iam", endpoint_url=address, **ADMINISTRATOR)
    for name, actions in ROLES.items():
        policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", **TRUSTS}))
        document = json.dumps({"Version": "2012-10-17", **policy})
        iam.put_role_policy(RoleName=name, PolicyName="data", PolicyDocument=document)
    yield address
    httpx.post(f"{address}/moto-api/reset")
    httpx.post(f"{address}/moto-api/reset-auth", content="inf")  # it counts for every server of this process
    server.stop()


DVC = """
import json, os, sys
import aiobotocore.session, dvc.cli, dvc_s3, s3fs

for line in sys.stdin:
    folder, variables, words, said = json.loads(line)
    if not (child := os.fork()):
        for stream in (1, 2):
            os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND), stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        os._exit(dvc.cli.main(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each command in a process of its own, forked from one that has imported what takes most of its time."""


@pytest.fixture
def forked_dvc() -> Iterator[Callable[[object], int]]:
    """The exit status of a command of DVC's, given as the lines of `DVC` have it."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", DVC], stdin=pipe, stdout=pipe, text=True) as server:
        asking, answers = server.stdin, server.stdout
        assert asking
        assert answers

        def run(given: object) -> int:
            print(json.dumps(given), file=asking, flush=True)
            return int(answers.readline())

        yield run
        asking.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what boto and moto warn of is theirs
def test_a_pull_request_s_role_pulls_and_cannot_push(
    aws: str, forked_dvc: Callable[[object], int], tmp_path: Path
) -> None:
    keys = {
        name: log_in(tmp_path, f"aws arn:aws:iam::123456789012:role/{name} eu-central-1", AWS_ENDPOINT_URL_STS=aws)
        for name in ROLES
    }
    for ended in keys.values():
        assert ended.code == 0, ended.said
        secrets = {ended.variables[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
        assert secrets <= {line.removeprefix("::add-mask::") for line in ended.said.splitlines()}, "shown as stars"
        assert ended.variables["AWS_DEFAULT_REGION"] == "eu-central-1"
    httpx.post(f"{aws}/moto-api/reset-auth", content="0")  # from now on, what a role may do is asked

    def dvc(name: str, folder: str, *words: str) -> tuple[int, str]:
        """Exit status and what it said, with the keys of the role `name`."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        variables = {**plain, **keys[name].variables, "HOME": str(tmp_path)}
        said = tmp_path / "said"
        said.write_text("")
        code = forked_dvc([str(tmp_path / folder), variables, words, str(said)])
        return code, said.read_text()

    project = tmp_path / "project"
    (project / ".dvc").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    (project / ".dvc/config").write_text(
        f"[core]\n    remote = storage\n    analytics = false\n['remote \"storage\"']\n"
        f"    url = s3://lab-data/here\n    endpointurl = {aws}\n"
    )
    (project / "data.csv").write_text("a,b\n1,2\n")
    assert dvc("writing", "project", "add", "data.csv")[0] == 0
    code, said = dvc("reading", "project", "push")
    assert code != 0, "a pull request writes nothing"
    assert re.search("denied|forbidden", said, re.IGNORECASE), said
    code, said = dvc("writing", "project", "push")
    assert code == 0, said
    subprocess.run(["cp", "-r", project, tmp_path / "elsewhere"], check=True)
    subprocess.run(["rm", "-r", ".dvc/cache", "data.csv"], cwd=tmp_path / "elsewhere", check=True)
    code, said = dvc("reading", "elsewhere", "pull")
    assert code == 0, said
    assert (tmp_path / "elsewhere/data.csv").read_text() == "a,b\n1,2\n"


GRANT = "the workflow that calls this one must grant `permissions: id-token: write`"
NONE = "this job has no identity"
TO_LOG_IN = f"{NONE} to log in to the object store with, as for"


def pull(repository: str | None) -> dict[str, object]:
    """The event of a pull request to lab/bpm-faults, from another repository or the same."""
    head = repository and {"full_name": repository}
    return {"pull_request": {"head": {"repo": head}, "base": {"repo": {"full_name": "lab/bpm-faults"}}}}


@pytest.mark.parametrize(
    ("name", "event", "actor", "code", "said"),
    [
        ("pull_request", pull("mallory/bpm-faults"), "mallory", 0, f"::notice::{TO_LOG_IN} a fork"),
        ("pull_request", pull(None), "mallory", 0, f"::notice::{TO_LOG_IN} a fork"),  # it is gone by now
        ("pull_request", pull("lab/bpm-faults"), "ada", 1, f"::error::{NONE}; {GRANT}"),
        ("pull_request", pull("lab/bpm-faults"), "dependabot[bot]", 0, f"::notice::{TO_LOG_IN} Dependabot; {GRANT}"),
        (
            "pull_request",
            {},
            "ada",
            1,
            "::error::the event of this pull request cannot be read: KeyError('pull_request')",
        ),
        ("push", pull("mallory/bpm-faults"), "ada", 1, f"::error::{NONE}; {GRANT}"),
    ],
)
def test_a_fork_has_no_identity_and_any_other_job_without_one_is_told_what_to_grant(
    name: str, event: dict[str, object], actor: str, code: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "event.json").write_text(json.dumps(event))
    job = {"GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": str(tmp_path / "event.json"), "GITHUB_ACTOR": actor}
    ended = log_in(tmp_path, "aws arn:aws:iam::1:role/x", ACTIONS_ID_TOKEN_REQUEST_URL="", **job)
    assert (ended.code, ended.said, ended.variables) == (code, f"{said}\n", {})


def test_an_address_without_the_job_s_own_token_is_no_identity(tmp_path: Path) -> None:
    ended = log_in(tmp_path, "aws arn:x", ACTIONS_ID_TOKEN_REQUEST_TOKEN="", GITHUB_EVENT_NAME="push")
    assert (ended.code, ended.said) == (1, f"::error::{NONE}; {GRANT}\n")


PAGE = b"<!doctype html><p>Please log in to the network of the laboratory<br></p>"


@pytest.mark.parametrize(
    "content",
    [PAGE, b"{}", b"[]", b'"value"', b'{"value": 7}', b'{"value": "a\\nb"}', b"\xff"],
)
def test_what_github_answers_that_is_no_token_is_one_line(content: bytes, tmp_path: Path) -> None:
    with listening(answering(content)) as port:
        ended = log_in(tmp_path, "aws arn:x", ACTIONS_ID_TOKEN_REQUEST_URL=f"http://127.0.0.1:{port}/?x")
    assert (ended.code, ended.variables) == (1, {})
    assert ended.said == "::error::GitHub answers without a token of this job; run it again\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PAGE, "answers the login as no AWS does; is the region us-east-1 right?"),
        (b"{}", "answers the login as no AWS does; is the region us-east-1 right?"),
        (b'<?xml version="1.0" encoding="none-such"?><a/>', "answers the login as no AWS does; is the region"),
        (b"<html/>", "AWS gave no keys for the role arn:x"),
    ],
)
def test_what_aws_answers_that_holds_no_keys_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    with listening(answering(content)) as port:
        ended = log_in(tmp_path, "aws arn:x", AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{port}")
    assert (ended.code, ended.variables) == (1, {})
    mask, error = ended.said.splitlines()
    assert (mask, error.startswith("::error::"), said in error) == (
        "::add-mask::token-for-sts.amazonaws.com",
        True,
        True,
    )


@pytest.mark.parametrize("region", ["eu..x/../", "eu.evil.example", "-x", "eu/x", "x" * 64 + "@evil"])
def test_a_region_that_leads_elsewhere_is_asked_for_nothing(region: str, tmp_path: Path) -> None:
    ended = log_in(tmp_path, f"aws arn:x {region}")
    assert (ended.code, ended.variables) == (1, {})
    assert (
        ended.said
        == f"::error::STORE_LOGIN names the region {region!r}, which has the form of none, such as eu-central-1\n"
    )


@pytest.mark.parametrize(
    "endpoint", ["sts.lab.example", "http://sts..lab.example", "http://127.0.0.1:port", "http://["]
)
def test_an_address_that_is_none_is_one_line(endpoint: str, tmp_path: Path) -> None:
    ended = log_in(tmp_path, "aws arn:x RegionOne", AWS_ENDPOINT_URL_STS=endpoint)  # a region of Ceph's
    assert (ended.code, ended.variables) == (1, {})
    assert ended.said.splitlines()[-1].startswith("::error::AWS, for the role arn:x, does not answer: ")


def test_whom_the_page_s_roles_trust_is_said_word_for_word() -> None:
    """Without `sub`, or with a pattern in it, code of any pull request gets the role for writing."""
    page = (ROOT / "docs/object-stores.md").read_text()
    reading, writing = (
        json.loads(text)["Statement"][0]["Condition"]["StringEquals"]
        for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    )
    for condition in (reading, writing):
        assert condition["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
        assert "*" not in json.dumps(condition)
    sub = "token.actions.githubusercontent.com:sub"
    assert "repo:lab/bpm-faults:pull_request" in reading[sub]
    assert writing[sub] == "repo:lab/bpm-faults:environment:retrain"


REFUSING = answering(b"<Error>AccessDenied\n::set-env name=x::y</Error>", 403)
"""Says no to every role, with a line that would be a command to the runner."""
ADDING = answering(
    b'<A xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Credentials><AccessKeyId>key&#10;PATH=/evil'
    b"</AccessKeyId></Credentials></A>"
)
"""Gives keys with a line end in them, behind which another variable stands."""


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (
            REFUSING,
            "AWS, for the role arn:x, refuses the login: 403 <Error>AccessDenied ::set-env name=x::y</Error>",
        ),
        (ADDING, "an answer holds what no variable can have"),
    ],
)
def test_a_refusal_is_one_line_and_no_answer_adds_a_variable(
    handler: type[BaseHTTPRequestHandler], said: str, tmp_path: Path
) -> None:
    with listening(handler) as port:
        ended = log_in(tmp_path, "aws arn:x", AWS_ENDPOINT_URL_STS=f"http://127.0.0.1:{port}")
    assert (ended.code, ended.variables) == (1, {})
    assert ended.said.splitlines()[1:] == [f"::error::{said}"]


def test_google_s_library_is_told_where_tokens_come_from_and_azure_s_reads_one(tmp_path: Path) -> None:
    provider = "projects/7/locations/global/workloadIdentityPools/lab/providers/github"
    ended = log_in(tmp_path, f"google {provider} reading@lab.example")
    file = Path(ended.variables["GOOGLE_APPLICATION_CREDENTIALS"])
    content = json.loads(file.read_text())
    assert (file.stat().st_mode & 0o777, content["audience"]) == (0o600, f"//iam.googleapis.com/{provider}")
    source = content["credential_source"]
    assert source["headers"] == {"Authorization": f"Bearer {JOB}"}
    assert parse_qs(urlsplit(source["url"]).query)["audience"] == [f"https://iam.googleapis.com/{provider}"]
    assert content["service_account_impersonation_url"].endswith("/reading@lab.example:generateAccessToken")

    ended = log_in(tmp_path, "azure an-id a-tenant")
    file = Path(ended.variables.pop("AZURE_FEDERATED_TOKEN_FILE"))
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("token-for-api://AzureADTokenExchange", 0o600)
    assert ended.variables == {"AZURE_CLIENT_ID": "an-id", "AZURE_TENANT_ID": "a-tenant"}


@pytest.mark.parametrize("login", ["azure an-id", "aws", "aws role region more", "minio x", "arn:aws:iam::1:role/x"])
def test_a_login_that_is_none_says_what_one_is(login: str, tmp_path: Path) -> None:
    ended = log_in(tmp_path, login)
    assert (ended.code, ended.variables) == (1, {})
    assert "STORE_LOGIN must be `aws ROLE [REGION]`, `google" in ended.said
