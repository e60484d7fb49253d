"""A Sigstore bundle read: whether the workflow signed it that is expected, in a run of the commit that it is for."""

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
AGAIN = "sign it in that workflow: beampermit permit sign --keyless"
OF_GITHUB = "/.github/workflows/"
"""In every identity that is a workflow of GitHub's, whatever host it is on."""


@dataclass(frozen=True)
class Signer:
    """Who is to have signed, as Fulcio's certificate says it."""

    identity: str
    """A workflow at a ref: `https://github.com/lab/faults/.github/workflows/release.yml@refs/heads/main`."""
    issuer: str = ISSUER
    """Who vouches for the identity."""
    caller: str = ""
    """The workflow that called it, where `identity` is shared among repositories; empty: it called itself."""

    @property
    def on_github(self) -> bool:
        """Whether the certificate says more than a name: whose workflow ran, and at which commit."""
        return OF_GITHUB in self.identity

    def policy(self) -> Any:
        """What sigstore is to look for. A shared workflow signs for whoever calls it, so its name alone says little."""
        policy = library("verify").policy
        asked = [policy.Identity(identity=self.identity, issuer=self.issuer)]
        if self.caller or self.on_github:
            asked.append(policy.OIDCBuildConfigURI(self.caller or self.identity))
        return policy.AllOf(asked)


def read_bundle(file: Path, signer: Signer, trust: Path | None = None) -> Statement:
    """The statement in the bundle in `file`. Raises as `unseal_keyless`."""
    if not file.is_file():
        raise BadInput("there is no signed permit here", file=file, hint="beampermit permit sign --keyless")
    return verify_bundle(file.read_bytes(), signer, file, trust)


def verify_bundle(content: bytes, signer: Signer, name: Path | str = "permit", trust: Path | None = None) -> Statement:
    """The statement in a Sigstore bundle that `signer` signed; looked up nowhere, so offline.

    `trust` is the ClientTrustConfig of a Sigstore of the laboratory's own, None the public one. Raises `BadInput` where
    this is no bundle, `Failed` where another signed it, or for another commit, or it was changed.
    """
    bundle = _parse(content, name)
    verifier = library("verify").Verifier(trusted_root=read_trust(trust, offline=True).trusted_root)
    errors = library("errors")
    try:
        kind, payload = verifier.verify_dsse(bundle, signer.policy())
    except errors.CertValidationError as error:
        raise Failed(
            f"its certificate is not of the Sigstore that is trusted here, or was not good then: {first_line(error)}",
            file=name,
            hint="where Sigstore is the laboratory's own, name its ClientTrustConfig: --trust FILE",
        ) from None
    except Exception as error:  # the library raises many kinds for what a hostile bundle holds
        said = f"not signed by {signer.identity}, as {signer.issuer} says: {first_line(error)}"
        raise Failed(said, file=name, hint=AGAIN) from None
    if kind != PAYLOAD_TYPE:
        raise Failed(f"the bundle holds {kind}, no permit", file=name, hint=AGAIN)
    statement = parse_statement(payload, name)
    if statement.payload != payload:
        raise Failed("the signed statement is not written as this beampermit writes it", file=name)
    if signer.on_github:
        _must_be_of_run(statement, bundle.signing_certificate, name)
    return statement


def _parse(content: bytes, name: Path | str) -> Any:
    if len(content) > LARGEST:
        raise BadInput(f"a permit of more than {LARGEST} bytes is not read", file=name)
    body = parse_json(content, name)  # refuses a key that is given twice, which readers read in two ways
    if isinstance(body, dict) and "payloadType" in body:
        raise BadInput(
            "signed with a key, not as a workflow", file=name, hint="beampermit permit verify FILE, without --identity"
        )
    try:
        return library("models").Bundle.from_json(content)
    except BadInput:
        raise
    except Exception:  # as above
        raise BadInput("not a bundle of Sigstore", file=name, hint="beampermit permit sign --keyless") from None


def _must_be_of_run(statement: Statement, certificate: Any, name: Path | str) -> None:
    """Whoever can run the workflow at an older commit must not sign for a newer one, or the other way round."""
    policy, errors = library("verify").policy, library("errors")
    commit = statement.predicate.commit
    try:
        policy.OIDCSourceRepositoryDigest(commit).verify(certificate)
    except errors.VerificationError as error:
        said = f"this permit is for commit {commit[:12]}, and was signed in a run of another: {first_line(error)}"
        raise Failed(said, file=name, hint=AGAIN) from None
