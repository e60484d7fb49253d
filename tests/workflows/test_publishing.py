"""The release's workflow; its publish step runs against an index on loopback that gives tokens for identities."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from ruamel.yaml import YAML

from support.git_repositories import committed
from support.paths import ROOT

LOCK = ROOT / ".github/publish.lock"


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / ".github/workflows/release.yml")["jobs"]


class Index(BaseHTTPRequestHandler):
    """What a package index and GitHub's identity provider answer; `seen` is what they were asked."""

    seen: list[tuple[str, str, bytes]]
    answers = {  # noqa: RUF012 - constant
        "/identity": {"value": "an.identity.token"},
        "/_/oidc/audience": {"audience": "lab"},
        "/_/oidc/mint-token": {"success": True, "token": "minted"},
    }

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.path, self.headers.get("authorization", ""), body))
        answer = json.dumps(self.answers.get(self.path.partition("?")[0], {})).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - so it is called

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path, list[tuple[str, str, bytes]]]]:
    """Its address, the certificate that it is trusted by, and what it was asked."""
    trusted, own = _certificates(tmp_path)
    handler = type("Asked", (Index,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", trusted, handler.seen
    server.shutdown()
    server.server_close()


def _certificates(folder: Path) -> tuple[Path, Path]:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("authority", "index")]
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in names]
    now, files = datetime.now(UTC), (folder / "authority.pem", folder / "index.pem")
    for name, key, file in zip(names, keys, files, strict=True):
        is_authority = name is names[0]
        built = (
            x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            built = built.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        pem = built.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain) + pem if not is_authority else pem)
    return files


def test_the_publish_step_has_no_password_and_sends_wheel_and_attestation(
    jobs: dict[str, Any], index: tuple[str, Path, list[tuple[str, str, bytes]]], tmp_path: Path
) -> None:
    address, trusted, seen = index
    (tmp_path / "dist").mkdir()
    wheel = tmp_path / "dist/beampermit-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as opened:
        folder = "beampermit-1.2.3.dist-info"
        opened.writestr(f"{folder}/METADATA", "Metadata-Version: 2.1\nName: beampermit\nVersion: 1.2.3\n")
        opened.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        opened.writestr(f"{folder}/RECORD", "")
    Path(f"{wheel}.publish.attestation").write_text('{"attested": "by the workflow"}')
    (tmp_path / "tools").symlink_to(Path(sys.prefix))
    script = next(step["run"] for step in jobs["publish"]["steps"] if step["name"] == "Publish")
    environment = {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{address}/identity?api=1",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
        "UV_PUBLISH_URL": f"{address}/upload/",
        "SSL_CERT_FILE": str(trusted),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    paths = [path.partition("?")[0] for path, _, _ in seen]
    assert paths[:4] == ["/_/oidc/audience", "/identity", "/_/oidc/mint-token", "/upload/"]
    assert paths.count("/upload/") == 1, "an attestation is sent with what it is of, not by itself"
    assert seen[1][1] == "Bearer of-the-job"
    assert json.loads(seen[2][2]) == {"token": "an.identity.token"}
    assert b"by the workflow" in seen[3][2]


def test_only_the_job_that_uploads_has_an_identity_and_it_runs_nothing_of_the_build(jobs: dict[str, Any]) -> None:
    identity = [name for name, job in jobs.items() if "id-token" in job["permissions"]]
    assert identity == ["publish"]
    assert jobs["publish"]["environment"] == "pypi"
    assert (jobs["publish"]["needs"], jobs["announce"]["needs"]) == ("build", "publish")
    scripts = " ".join(step.get("run", "") for step in jobs["publish"]["steps"])
    assert ".ci/run" not in scripts
    assert "--require-hashes" in scripts
    assert [name for name, job in jobs.items() if job["permissions"].get("contents") == "write"] == ["announce"]


def test_what_signs_and_uploads_is_locked_as_the_rest_is() -> None:
    named = dict(re.findall(r"(?m)^([\w-]+)==(\S+)", LOCK.read_text()))
    ours = dict(re.findall(r"(?m)^([\w-]+)==(\S+)", (ROOT / "requirements-dev.lock").read_text()))
    assert {"uv", "pypi-attestations"} <= set(named)
    assert {name: version for name, version in named.items() if ours.get(name, version) != version} == {}
    assert LOCK.read_text().count("--hash=sha256:") >= len(named)


def test_a_tag_that_make_release_made_starts_it_and_no_other(jobs: dict[str, Any]) -> None:
    tree = YAML(typ="safe").load((ROOT / ".github/workflows/release.yml").read_text())
    (pattern,) = tree["on"]["push"]["tags"]
    assert pattern == "v[0-9]+.[0-9]+.[0-9]+", "on GitHub `.` is a dot, and `+` one or more of what is before it"


@pytest.mark.parametrize(
    ("branch", "code"), [("main", 0), ("1.2.x", 0), ("12.0.x", 0), ("topic", 1), ("1.2.x-wild", 1), ("x-main", 1)]
)
def test_only_a_commit_of_a_reviewed_branch_is_built(
    jobs: dict[str, Any], branch: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    git = committed(tmp_path)
    base = git.head()
    git("commit", "--quiet", "--allow-empty", "--message", "Released")
    git("update-ref", "refs/remotes/origin/main", base)
    git("update-ref", f"refs/remotes/origin/{branch}", "HEAD")
    (script,) = (step["run"] for step in jobs["build"]["steps"] if step["name"].startswith("Require a commit"))
    assert subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=False).returncode == code
