"""Verifies a Sigstore bundle: signed by the expected workflow, in a run of the permit's commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Failed
from beampermit.permit.envelope import LARGEST, PAYLOAD_TYPE
from beampermit.permit.sigstore import first_line, library, read_trust
from beampermit.permit.statement import Statement, parse_statement
from beampermit.reading import parse_json

ISSUER = "https://token.actions.githubusercontent.com"
AGAIN = "sign it in that workflow with `beampermit permit sign --keyless`"
OF_GITHUB = "/.github/workflows/"
"""In the identity of every workflow, on github.com and on other hosts."""


@dataclass(frozen=True)
class Signer:
    """Who must have signed, as in Fulcio's certificate."""

    identity: str
    """Workflow and ref: `https://github.com/lab/faults/.github/workflows/release.yml@refs/heads/main`."""
    issuer: str = ISSUER
    """The OIDC issuer of the identity."""
    caller: str = ""
    """The workflow that called `identity`, where that is a reusable workflow of another repository."""

    @property
    def on_github(self) -> bool:
        """Whether the certificate also names calling workflow and commit."""
        return OF_GITHUB in self.identity

    def policy(self) -> Any:
        """A reusable workflow signs for every caller, so the caller is verified as well."""
        policy = library("verify").policy
        policies = [policy.Identity(identity=self.identity, issuer=self.issuer)]
        if self.caller or self.on_github:
            policies.append(policy.OIDCBuildConfigURI(self.caller or self.identity))
        return policy.AllOf(policies)


def read_bundle(file: Path, signer: Signer, trust: Path | None = None) -> Statement:
    """The statement in the bundle in `file`. Raises as `verify_bundle`."""
    if not file.is_file():
        raise BadInput("there is no signed permit", file=file, hint="beampermit permit sign --keyless")
    return verify_bundle(file.read_bytes(), signer, file, trust)


def verify_bundle(content: bytes, signer: Signer, name: Path | str = "permit", trust: Path | None = None) -> Statement:
    """The statement in a Sigstore bundle that `signer` signed; verified offline.

    `trust` is the ClientTrustConfig of a private Sigstore, None the public one. Raises `BadInput` where this is not a
    bundle, `Failed` for another signer, another commit or a changed bundle.
    """
    bundle = _parse(content, name)
    verifier = library("verify").Verifier(trusted_root=read_trust(trust, offline=True).trusted_root)
    errors = library("errors")
    try:
        kind, payload = verifier.verify_dsse(bundle, signer.policy())
    except errors.CertValidationError as error:
        raise Failed(
            f"the certificate is not from the trusted Sigstore, or was not valid at signing: {first_line(error)}",
            file=name,
            hint="for a private Sigstore, name its ClientTrustConfig with --trust FILE",
        ) from None
    except Exception as error:  # the library raises many kinds for what a hostile bundle holds
        message = f"not signed by {signer.identity} (issuer {signer.issuer}): {first_line(error)}"
        raise Failed(message, file=name, hint=AGAIN) from None
    if kind != PAYLOAD_TYPE:
        raise Failed(f"the bundle holds {kind}, not a permit", file=name, hint=AGAIN)
    statement = parse_statement(payload, name)
    if statement.payload != payload:
        raise Failed("the signed statement is not in canonical form", file=name, hint=AGAIN)
    if signer.on_github:
        _require_commit_of_run(statement, bundle.signing_certificate, name)
    return statement


def _parse(content: bytes, name: Path | str) -> Any:
    if len(content) > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed for a permit", file=name)
    body = parse_json(content, name)  # refuses duplicate keys, which programs read differently
    if isinstance(body, dict) and "payloadType" in body:
        raise BadInput("this permit is signed with a key, not as a workflow", file=name, hint="leave out --identity")
    try:
        return library("models").Bundle.from_json(content)
    except BadInput:
        raise
    except Exception:  # as above
        raise BadInput("not a Sigstore bundle", file=name, hint="beampermit permit sign --keyless") from None


def _require_commit_of_run(statement: Statement, certificate: Any, name: Path | str) -> None:
    """A run of the workflow at another commit must not sign for this one."""
    policy, errors = library("verify").policy, library("errors")
    commit = statement.predicate.commit
    try:
        policy.OIDCSourceRepositoryDigest(commit).verify(certificate)
    except errors.VerificationError as error:
        message = f"the permit is for commit {commit[:12]}, but was signed in a run of another: {first_line(error)}"
        raise Failed(message, file=name, hint=AGAIN) from None
