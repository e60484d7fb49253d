"""A Sigstore on 127.0.0.1: GitHub's issuer of tokens, Fulcio, its certificate log, Rekor and a time stamper.

Everything is signed with real keys, so sigstore's own client and verifier find it true, and find out what is not. What
a program asks is in `sigstore.asked`; what goes wrong on the way is in `sigstore.faults`, as in GitHub's stand-in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate, load_pem_x509_csr

from support.github_server import Answer, Asked, Fault, Refused, serving
from support.sigstore_certificates import Authority, log_id, signed

GITHUB = "https://token.actions.githubusercontent.com"
RIGHT_TO_ASK = "the-runner-may-ask-for-tokens"
"""The secret of a job that may have `id-token: write`."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What GitHub knows of the job that asks: its repository, workflow, branch and commit."""

    repository: str = "lab/faults"
    workflow: str = ".github/workflows/release.yml"
    ref: str = "refs/heads/main"
    commit: str = "a" * 40
    issuer: str = GITHUB
    within: str = ""
    """The shared workflow that the job is part of, `owner/name/path@ref`; empty: the workflow's own."""
    seconds: int = 300
    """How long a token is good."""
    since: int = 0
    """Seconds from now at which it was given: the issuer's clock may be wrong."""

    @property
    def claims(self) -> Json:
        """As GitHub writes them."""
        now, called = int(time.time()) + self.since, f"{self.repository}/{self.workflow}@{self.ref}"
        return {
            "iss": self.issuer, "aud": "sigstore", "iat": now, "nbf": now, "exp": now + self.seconds,
            "sub": f"repo:{self.repository}:ref:{self.ref}", "repository": self.repository, "ref": self.ref,
            "sha": self.commit, "workflow_ref": called, "job_workflow_ref": self.within or called,
        }  # fmt: skip

    @property
    def identity(self) -> str:
        """Who Fulcio says signed."""
        return f"https://github.com/{self.claims['job_workflow_ref']}"

    @property
    def caller(self) -> str:
        """Whose workflow it was."""
        return f"https://github.com/{self.claims['workflow_ref']}"


@dataclass
class Sigstore:
    """One instance, with keys of its own; each takes part in the trust that `trust()` writes."""

    job: Job = field(default_factory=Job)
    url: str = ""
    rekor: int = 1
    """Which Rekor the log is: 2 promises no time, so signers must have it stamped."""
    late: int = 0
    """Seconds by which the log's clock is ahead of the authority's."""
    stamping: bool = False
    """Whether signers are told to have the time stamped."""
    authority: Authority = field(default_factory=Authority)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    issuer_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    leaves: list[bytes] = field(default_factory=lambda: [b"what", b"others", b"signed"])
    asked: list[Asked] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    blobs: dict[int, bytes] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def stampers(self) -> list[Json]:
        """Who stamps times, as a trusted root lists them."""
        return [{**self.authority.chain(self.authority.stamper), "validFor": {"start": "2020-01-01T00:00:00Z"}}]

    def environment(self) -> dict[str, str]:
        """What GitHub gives a job with `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": RIGHT_TO_ASK,
        }

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """In such a job."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.environment().items():
                patched.setenv(name, value)
            yield

    def trust(self, file: Path, **replaced: Any) -> Path:
        """Write the ClientTrustConfig of this Sigstore, `replaced` in its trusted root."""
        since, of = (
            {"start": "2020-01-01T00:00:00Z"},
            {"operator": "lab", "validFor": {"start": "2020-01-01T00:00:00Z"}},
        )
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self._log(self.log_key)],
            "ctlogs": [self._log(self.authority.ct_key)],
            "certificateAuthorities": [{**self.authority.chain(), "validFor": since}],
            "timestampAuthorities": self.stampers,
        }
        services = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [{"url": self.url, "majorApiVersion": 1, **of}],
            "rekorTlogUrls": [{"url": self.url, "majorApiVersion": self.rekor, **of}],
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": [{"url": f"{self.url}/stamp", "majorApiVersion": 1, **of}] if self.stamping else [],
            "tsaConfig": {"selector": "ANY"},
        }
        kind = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        config = {"mediaType": kind, "trustedRoot": {**root, **replaced}, "signingConfig": services}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(config))
        return file

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
            routes = {
                "GET /token": self._token,
                "POST /api/v2/signingCert": self._certificate,
                "POST /api/v1/log/entries": self._entry,
                "POST /api/v2/log/entries": self._entry_of_rekor_2,
                "POST /stamp": self._stamp,
            }
            try:
                return routes[str(asked)](asked)
            except Refused as refused:
                return Answer(refused.status, {"code": refused.status, "message": refused.message})

    def _token(self, asked: Asked) -> Answer:
        if asked.token != RIGHT_TO_ASK:
            raise Refused(401, "the job may not ask for a token")
        claims = {**self.job.claims, "aud": asked.query["audience"]}
        self.tokens.append(jwt.encode(claims, self.issuer_key, algorithm="ES256"))
        return Answer(200, {"value": self.tokens[-1]})

    def _certificate(self, asked: Asked) -> Answer:
        try:
            claims = jwt.decode(asked.token, self.issuer_key.public_key(), algorithms=["ES256"], audience="sigstore")
        except jwt.PyJWTError as error:
            raise Refused(401, f"There was an error processing the identity token: {error}") from None
        request = load_pem_x509_csr(base64.b64decode(asked.body["certificateSigningRequest"]))
        if not request.is_signature_valid:
            raise Refused(400, "The signature of the request is not that of its key")
        chain = [self.authority.issue(request.public_key(), claims), self.authority.root]
        pem = [one.public_bytes(Encoding.PEM).decode() for one in chain]
        return Answer(200, {"signedCertificateEmbeddedSct": {"chain": {"certificates": pem}}})

    def _entry(self, asked: Asked) -> Answer:
        proposed = asked.body["spec"]["proposedContent"]
        envelope, verifier = json.loads(proposed["envelope"]), proposed["verifiers"][0]
        payload, signature = (
            base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"])
        )
        key = load_pem_x509_certificate(base64.b64decode(verifier)).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        kind = envelope["payloadType"].encode()
        message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        key.verify(signature, message, ec.ECDSA(SHA256()))
        spec = {
            "envelopeHash": _hash(proposed["envelope"].encode()),
            "payloadHash": _hash(payload),
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": verifier}],
        }
        body = rfc8785.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        return Answer(201, {"24296fb24b8ad77a" + hashlib.sha256(body).hexdigest(): self.append(body)})

    def _entry_of_rekor_2(self, asked: Asked) -> Answer:
        asked_for = asked.body["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": asked_for["digest"]}
        spec = {"hashedRekordV002": {"data": data, "signature": asked_for["signature"]}}
        kind = {"kind": "hashedrekord", "version": "0.0.2"}
        body = rfc8785.dumps({"apiVersion": kind["version"], "kind": kind["kind"], "spec": spec})
        proof = self._proof(body)
        hashes = {"rootHash": _again(proof["rootHash"]), "hashes": [_again(one) for one in proof["hashes"]]}
        numbers = {name: str(proof[name]) for name in ("logIndex", "treeSize")}
        entry = {
            "logIndex": numbers["logIndex"], "logId": {"keyId": _base64(log_id(self.log_key.public_key()))},
            "kindVersion": kind, "canonicalizedBody": _base64(body),
            "inclusionProof": {**numbers, **hashes, "checkpoint": {"envelope": proof["checkpoint"]}},
        }  # fmt: skip
        return Answer(201, entry)

    def append(self, body: bytes) -> Json:
        """Take an entry up; gives what Rekor 1 says of it."""
        proof = self._proof(body)
        key, moment = log_id(self.log_key.public_key()), int(time.time()) + self.late
        entry = {"body": _base64(body), "integratedTime": moment, "logID": key.hex(), "logIndex": proof["logIndex"]}
        promise = _base64(signed(self.log_key, rfc8785.dumps(entry)))
        return {**entry, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}

    def _proof(self, body: bytes) -> Json:
        """Take an entry up; gives where it is in the tree, whose root the log signs."""
        self.leaves.append(body)
        index, size, root = len(self.leaves) - 1, len(self.leaves), _tree(self.leaves)
        note = f"rekor.lab - 1\n{size}\n{_base64(root)}\n"
        hint = log_id(self.log_key.public_key())[:4]
        return {
            "logIndex": index, "treeSize": size, "rootHash": root.hex(),
            "hashes": [one.hex() for one in _path(index, self.leaves)],
            "checkpoint": f"{note}\n\u2014 rekor.lab {_base64(hint + signed(self.log_key, note.encode()))}\n",
        }  # fmt: skip

    def remade(self, bundle: bytes, certified: timedelta, logged: timedelta) -> bytes:
        """The same envelope, its key certified and its entry logged at other times than now."""
        body = json.loads(bundle)
        material = body["verificationMaterial"]
        key = load_der_x509_certificate(base64.b64decode(material["certificate"]["rawBytes"])).public_key()
        certificate = replace(self.authority, ago=-certified).issue(key, self.job.claims)
        entry = json.loads(base64.b64decode(material["tlogEntries"][0]["canonicalizedBody"]))
        entry["spec"]["signatures"][0]["verifier"] = _base64(certificate.public_bytes(Encoding.PEM))
        said = replace(self, late=int(logged.total_seconds())).append(rfc8785.dumps(entry))
        material["certificate"]["rawBytes"] = _base64(certificate.public_bytes(Encoding.DER))
        from sigstore.models import TransparencyLogEntry  # a second: not while tests are collected

        material["tlogEntries"] = [TransparencyLogEntry._from_v1_response({"": said})._inner.to_dict()]
        return json.dumps(body).encode()

    def _stamp(self, asked: Asked) -> Answer:
        return Answer(200, self.authority.stamp(asked.content))

    def _log(self, key: ec.EllipticCurvePrivateKey) -> Json:
        public = key.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        details = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": "2020-01-01T00:00:00Z"}}
        return {
            "baseUrl": self.url,
            "hashAlgorithm": "SHA2_256",
            "publicKey": {"rawBytes": _base64(der), **details},
            "logId": {"keyId": _base64(log_id(public))},
        }


@contextmanager
def running(**given: Any) -> Iterator[Sigstore]:
    """A Sigstore that answers at `url`."""
    sigstore = Sigstore(**given)
    with serving(sigstore) as sigstore.url:
        yield sigstore


def _hash(content: bytes) -> Json:
    return {"algorithm": "sha256", "value": hashlib.sha256(content).hexdigest()}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _again(hexadecimal: str) -> str:
    return _base64(bytes.fromhex(hexadecimal))


def _tree(leaves: list[bytes]) -> bytes:
    """RFC 6962's hash of a Merkle tree."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = _half(leaves)
    return hashlib.sha256(b"\1" + _tree(leaves[:half]) + _tree(leaves[half:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962's audit path of a leaf, from the leaf up."""
    if len(leaves) == 1:
        return []
    half = _half(leaves)
    if index < half:
        return [*_path(index, leaves[:half]), _tree(leaves[half:])]
    return [*_path(index - half, leaves[half:]), _tree(leaves[:half])]


def _half(leaves: list[bytes]) -> int:
    return 1 << (len(leaves) - 1).bit_length() - 1
