"""A small permit and the key that it is signed with."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from beampermit.digest import digest_json
from beampermit.permit.envelope import sign_statement
from beampermit.permit.public_keys import PublicKeys
from beampermit.permit.statement import Statement, validate_statement

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = PublicKeys.only(KEY.public_key())
MODEL = {"MLmodel": f"sha256:{'1' * 64}", "weights.safetensors": f"sha256:{'2' * 64}"}


def statement() -> Statement:
    where = {"host": "ci-1", "system": "Linux", "python": "3.11.9", "run": ""}
    file = {"file": "uv.lock", "digest": f"sha256:{'3' * 64}"}
    predicate = {
        "commit": "a" * 40,
        "tree": "b" * 40,
        "environment": file,
        "pipeline": file,
        "contract": file,
        "base_contract": file["digest"],
        "dataset": {"data/dataset/test.parquet": f"sha256:{'4' * 64}"},
        "model": MODEL,
        "metrics": {"auc": 0.98},
        "verdicts": [{"id": "DOC001", "outcome": "passed", "reason": "two owners", "where": where}],
        "checker": "0.1.0",
        "issued": "2026-11-23T08:00:00Z",
    }
    subject = {"name": "bpm-faults", "digest": {"sha256": digest_json(MODEL).removeprefix("sha256:")}}
    return validate_statement({"subject": [subject], "predicate": predicate}, "permit.json")


SEALED = sign_statement(statement(), KEY)
