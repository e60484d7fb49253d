"""A permit signed without a key of ours: Sigstore's certificate of a workflow's identity, and its log.

The extra `keyless` brings the library that does it all; here is only what is asked of it and what its answers mean. The
bundle stands beside the permit that the laboratory's key signed, and replaces it nowhere: promotion asks for the key.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from beampermit.errors import BeampermitError, Outside
from beampermit.permit.sigstore import first_line, library, read_trust
from beampermit.permit.statement import Statement

SECONDS = 120
"""How long Sigstore may take altogether; its library waits for ever."""
NOTHING = "no permit was signed without a key"
NO_IDENTITY = "give the job `permissions: id-token: write`, or sign with a key: beampermit permit sign"
AGAIN = "beampermit permit sign --keyless"
T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """A signed permit as Sigstore writes it, and who signed it: what `unseal_keyless` is to be asked for."""

    content: bytes
    identity: str


def sign_keyless(statement: Statement, trust: Path | None = None) -> Bundle:
    """A Sigstore bundle of the statement, for the identity of the workflow that runs this; verified before it is given.

    `trust` is a file of a Sigstore of the laboratory's own (its ClientTrustConfig); None is the public one, whose log
    shows to everybody who signed. Raises `BadInput` without the extra, `Outside` where there is no identity, or no
    Sigstore that answers as it should.
    """
    try:
        return _within(SECONDS, lambda: _sign(statement, trust))
    except BeampermitError:
        raise
    except TimeoutError:
        raise Outside(f"{NOTHING}: no answer in {SECONDS} s", hint=AGAIN) from None
    except Exception as error:  # the library raises many kinds, some of them for what a server answered
        raise Outside(f"{NOTHING}: {first_line(error)}", hint=AGAIN) from None


def _sign(statement: Statement, trust: Path | None) -> Bundle:
    oidc, sign, dsse, verify = (library(name) for name in ("oidc", "sign", "dsse", "verify"))
    token = oidc.IdentityToken(_token(oidc))
    config = read_trust(trust, offline=False)
    with sign.SigningContext.from_trust_config(config).signer(token) as signer:
        bundle = signer.sign_dsse(dsse.Statement(statement.payload))
    identity = _identity(bundle.signing_certificate)
    # The library asks the log, and does not look whether its answer holds.
    verify.Verifier(trusted_root=config.trusted_root).verify_dsse(bundle, verify.policy.Identity(identity=identity))
    return Bundle(bundle.to_json().encode(), identity)


def _token(oidc: Any) -> str:
    """The job's OIDC token, a secret."""
    try:
        found = oidc.detect_credential()
    except oidc.IdentityError as error:
        raise Outside(f"{NOTHING}: {first_line(error)}", hint=NO_IDENTITY) from None
    if found is None:
        raise Outside("this job has no identity to sign with: no OIDC token is offered here", hint=NO_IDENTITY)
    return found


def _identity(certificate: Any) -> str:
    """The one name that a certificate of Fulcio's is for."""
    from cryptography.x509 import SubjectAlternativeName

    (name,) = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return str(name.value)


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """What `ask` gives or raises, `TimeoutError` after so long; a thread that still waits then holds nobody up."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(ask())
        except BaseException as error:  # handed to who waits
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return done.result(seconds)
