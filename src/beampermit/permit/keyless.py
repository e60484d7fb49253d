"""A permit signed without a key of ours: Sigstore's certificate of a workflow's identity, and its public log.

The extra `keyless` brings the library that does it all; here is only what is asked of it and what its answers mean. The
bundle stands beside the permit that the laboratory's key signed, and replaces it nowhere: promotion asks for the key.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, Outside, Tripped
from beampermit.permit.envelope import LARGEST, PAYLOAD_TYPE
from beampermit.permit.statement import Statement, parse_statement
from beampermit.reading import parse_json

NO_IDENTITY = "give the job `permissions: id-token: write`, or sign with a key: beampermit permit sign"


def sign_keyless(statement: Statement, trust: Path | None = None) -> bytes:
    """A Sigstore bundle of the statement, for the identity of the workflow that runs this.

    `trust` is a file of a Sigstore of the laboratory's own (its ClientTrustConfig); None is the public one, whose log
    shows the statement to everybody. Raises `BadInput` without the extra, `Outside` where there is no identity, or no
    Sigstore that answers.
    """
    oidc, sign, dsse = (_library(name) for name in ("oidc", "sign", "dsse"))
    with _outside("no permit was signed without a key"):
        token = oidc.detect_credential()
        if token is None:
            raise Outside("this job has no identity to sign with: no OIDC token is offered here", hint=NO_IDENTITY)
        context = sign.SigningContext.from_trust_config(_trust(trust, offline=False))
        with context.signer(oidc.IdentityToken(token)) as signer:
            return signer.sign_dsse(dsse.Statement(statement.payload)).to_json().encode()


def read_bundle(file: Path, identity: str, issuer: str, trust: Path | None = None) -> Statement:
    """The statement in the bundle in `file`. Raises as `unseal_keyless`."""
    if not file.is_file():
        raise BadInput("there is no signed permit here", file=file, hint="beampermit permit sign --keyless")
    return unseal_keyless(file.read_bytes(), identity, issuer, file, trust)


def unseal_keyless(
    content: bytes, identity: str, issuer: str, name: Path | str = "permit", trust: Path | None = None
) -> Statement:
    """The statement in a Sigstore bundle that `identity` signed, as `issuer` says; looked up nowhere, so offline.

    `identity` is a workflow at a branch: `https://github.com/lab/faults/.github/workflows/release.yml@refs/heads/main`.
    Raises `BadInput` where this is no bundle, `Tripped` where it was signed by another or was changed.
    """
    models, verify, errors = (_library(name) for name in ("models", "verify", "errors"))
    if len(content) > LARGEST:
        raise BadInput(f"a permit of more than {LARGEST} bytes is not read", file=name)
    parse_json(content, name)  # refuses a key that is given twice, which readers read in two ways
    try:
        bundle = models.Bundle.from_json(content)
    except Exception:  # the library raises many kinds for what is no bundle
        raise BadInput("not a bundle of Sigstore", file=name, hint="beampermit permit sign --keyless") from None
    with _outside("the bundle cannot be verified"):
        verifier = verify.Verifier(trusted_root=_trust(trust, offline=True).trusted_root)
        try:
            kind, payload = verifier.verify_dsse(bundle, verify.policy.Identity(identity=identity, issuer=issuer))
        except errors.VerificationError as error:
            raise Tripped(f"not signed by {identity}, as {issuer} says: {_line(error)}", file=name) from None
    if kind != PAYLOAD_TYPE:
        raise Tripped(f"the bundle holds {kind}, no permit", file=name)
    return parse_statement(payload, name)


def _trust(file: Path | None, *, offline: bool) -> Any:
    """Whom Sigstore trusts: of the file, else of the public instance, as last fetched where `offline`."""
    config = _library("models").ClientTrustConfig
    if file is None:
        return config.production(offline=offline)
    if not file.is_file():
        raise BadInput("there is no trust configuration here", file=file)
    try:
        return config.from_json(file.read_text(encoding="utf-8"))
    except Exception:  # as above
        raise BadInput("not a ClientTrustConfig of Sigstore", file=file) from None


@contextmanager
def _outside(what: str) -> Iterator[None]:
    """What the library and its connections raise becomes one line."""
    errors, requests = _library("errors"), importlib.import_module("requests")
    try:
        yield
    except (errors.Error, requests.RequestException, OSError) as error:
        raise Outside(f"{what}: {_line(error)}", hint=NO_IDENTITY) from None


def _line(error: Exception) -> str:
    """The first line of what a library says, with the cause that it hides."""
    said = str(error) or str(error.__cause__ or "") or type(error).__name__
    return said.strip().splitlines()[0][:300] if said.strip() else type(error).__name__


def _library(name: str) -> Any:
    try:
        return importlib.import_module(f"sigstore.{name}")
    except ImportError:
        raise BadInput(
            "signing without a key needs the extra: it is not installed", hint="pip install 'beampermit[keyless]'"
        ) from None
