"""Signing and verifying a model of 1 GB against plain sha256 of the same bytes, in CPU seconds as well.

`MODEL_MEGABYTES` asks for another size; what is printed is of the size that ran.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from beampermit.digest import digest_json, manifest
from beampermit.permit.envelope import sign_statement, verify_envelope
from beampermit.permit.public_keys import PublicKeys
from beampermit.permit.statement import Statement, validate_statement
from beampermit.permit.verification import verify_model

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
MEGABYTES = int(os.environ.get("MODEL_MEGABYTES", "1000"))
FILES = 4
REPEAT = 3
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder of a few large files, as shards of weights are."""
    block = os.urandom(10**6)
    for number in range(FILES):
        with (tmp_path / f"weights-{number}.safetensors").open("wb") as stream:
            for _ in range(MEGABYTES // FILES):
                stream.write(block)
    return tmp_path


def _spent(action: Callable[[], object]) -> tuple[float, float]:
    """The best of some runs, seconds of the clock and of CPU: the first one warms the page cache."""
    found: list[tuple[float, float]] = []
    for _ in range(REPEAT):
        before, start = time.process_time(), time.perf_counter()
        action()
        found.append((time.perf_counter() - start, time.process_time() - before))
    return min(found)


def _permit(model: Path) -> Statement:
    files = manifest(model)
    bound = {"file": "uv.lock", "digest": f"sha256:{'3' * 64}"}
    where = {"host": "ci-1", "system": "Linux", "python": "3.11.9", "run": ""}
    return validate_statement(
        {
            "subject": [{"name": "large", "digest": {"sha256": digest_json(files).removeprefix("sha256:")}}],
            "predicate": {
                "commit": "a" * 40,
                "tree": "b" * 40,
                "environment": bound,
                "pipeline": bound,
                "contract": bound,
                "base_contract": bound["digest"],
                "dataset": {},
                "model": files,
                "metrics": {"auc": 0.98},
                "verdicts": [{"id": "DOC001", "outcome": "passed", "reason": "two owners", "where": where}],
                "checker": "0.1.0",
                "issued": "2026-11-23T08:00:00Z",
            },
        },
        "permit.json",
    )


def test_a_large_model_is_signed_and_verified_in_the_time_of_its_digest(
    model: Path, say: Callable[[str], None]
) -> None:
    trusted, sealed = PublicKeys.only(KEY.public_key()), sign_statement(_permit(model), KEY)

    def plain() -> None:
        for file in sorted(model.iterdir()):
            with file.open("rb") as stream:
                hashlib.file_digest(stream, "sha256").hexdigest()

    base, base_cpu = _spent(plain)
    say(f"{MEGABYTES} MB in {FILES} files: plain sha256 {base:.2f} s, {base_cpu:.2f} s of CPU")
    for name, action in {
        "sign": lambda: sign_statement(_permit(model), KEY),
        "verify": lambda: verify_model(verify_envelope(sealed, trusted), model),
    }.items():
        seconds, cpu = _spent(action)
        say(f"{name}: {seconds:.2f} s = {seconds / base:.2f}, {cpu:.2f} s of CPU = {cpu / base_cpu:.2f}")
