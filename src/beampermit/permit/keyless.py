"""Signs a permit with Sigstore, as the workflow that runs, by the library of the extra `keyless`.

The bundle is published beside the permit that the laboratory's key signed. Promotion accepts only the key's signature.
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
"""For the whole signature; the library has no time limit."""
NOTHING = "the permit was not signed with Sigstore"
NO_IDENTITY = "give the job `permissions: id-token: write`, or sign with a key: `beampermit permit sign`"
AGAIN = "beampermit permit sign --keyless"
T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """A Sigstore bundle, and the identity that `verify_bundle` needs."""

    content: bytes
    identity: str


def sign_keyless(statement: Statement, trust: Path | None = None) -> Bundle:
    """A bundle signed as the workflow that runs this, verified before it is returned.

    `trust` is the ClientTrustConfig of a private Sigstore, None the public one, whose log is public. Raises `BadInput`
    without the extra, `Outside` where the job has no identity or Sigstore fails.
    """
    try:
        return _within(SECONDS, lambda: _sign(statement, trust))
    except BeampermitError:
        raise
    except TimeoutError:
        raise Outside(f"{NOTHING}: no answer in {SECONDS} s", hint=AGAIN) from None
    except Exception as error:  # the library raises many kinds
        raise Outside(f"{NOTHING}: {first_line(error)}", hint=AGAIN) from None


def _sign(statement: Statement, trust: Path | None) -> Bundle:
    oidc, sign, dsse, verify = (library(name) for name in ("oidc", "sign", "dsse", "verify"))
    token = oidc.IdentityToken(_token(oidc))
    config = read_trust(trust, offline=False)
    with sign.SigningContext.from_trust_config(config).signer(token) as signer:
        bundle = signer.sign_dsse(dsse.Statement(statement.payload))
    identity = _identity(bundle.signing_certificate)
    # The library does not verify the log's answer.
    verify.Verifier(trusted_root=config.trusted_root).verify_dsse(bundle, verify.policy.Identity(identity=identity))
    return Bundle(bundle.to_json().encode(), identity)


def _token(oidc: Any) -> str:
    """The job's OIDC token, a secret."""
    try:
        token = oidc.detect_credential()
    except oidc.IdentityError as error:
        raise Outside(f"{NOTHING}: {first_line(error)}", hint=NO_IDENTITY) from None
    if token is None:
        raise Outside(f"{NOTHING}: this job has no OIDC token", hint=NO_IDENTITY)
    return token


def _identity(certificate: Any) -> str:
    """The one name in a certificate from Fulcio."""
    from cryptography.x509 import SubjectAlternativeName

    (name,) = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return str(name.value)


def _within(seconds: float, ask: Callable[[], T]) -> T:
    """The result of `ask`, or `TimeoutError`; a thread that still waits then does not block the exit."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(ask())
        except BaseException as error:  # raised in the thread that waits
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return done.result(seconds)
