"""A small permit and the key that it is signed with; and the permit of a project that deserves one."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from beampermit.digest import digest_json
from beampermit.interlocks import runner
from beampermit.interlocks.families import load_interlocks
from beampermit.permit.assemble import assemble
from beampermit.permit.envelope import read_envelope, sign_statement
from beampermit.permit.public_keys import PublicKeys
from beampermit.permit.statement import Statement, validate_statement
from beampermit.permit.verification import verify_model
from beampermit.project import Project
from beampermit.verdicts.verdict import Verdict

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


def permitted(project: Project, *, without: AbstractSet[str]) -> tuple[dict[str, Verdict], Statement]:
    """Every interlock but those passes: the verdicts, and the permit, signed and verified against the saved model."""
    expected = {id: cls for id, cls in load_interlocks().items() if id not in without}
    verdicts = runner.check(project, expected.values(), fresh=True)
    assert {verdict.id: verdict.reason for verdict in verdicts if not verdict.passed} == {}
    permit = assemble(project, [runner.verdict_file(project, verdicts)], expected)
    signed = project.root.parent / "permit.dsse.json"
    signed.write_bytes(sign_statement(permit, KEY))
    verify_model(read_envelope(signed, TRUSTED).statement, project.root / project.contract.model.path, project.root)
    return {verdict.id: verdict for verdict in verdicts}, permit
