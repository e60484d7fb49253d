"""Certificates of the stand-in of Sigstore: Fulcio's, with the promise of a certificate log, and a time stamper's."""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PROMISES = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
FULCIO = "1.3.6.1.4.1.57264.1"
SINCE, YEARS = datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=7300)
MINUTES = 10
"""How long a certificate is good, as Fulcio's."""


def signed(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    """ECDSA with SHA-256."""
    return key.sign(content, ec.ECDSA(SHA256()))


def log_id(key: ec.EllipticCurvePublicKey) -> bytes:
    """By which logs are known: sha256 of the key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


@dataclass
class Authority:
    """Keys and certificates: a root, which issues to signers and to the stamper."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    stamper_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ago: timedelta = timedelta()
    """How long before now certificates are issued."""
    promised: bool = True
    """Whether certificates are in the log for certificates."""

    def __post_init__(self) -> None:
        usage = _usage(key_cert_sign=True, crl_sign=True)
        root = _builder(self.key.public_key(), "root", SINCE, YEARS)
        self.root = (
            root.subject_name(_name("root"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(usage, critical=True)
            .sign(self.key, SHA256())
        )
        stamping = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        self.stamper = (
            _builder(self.stamper_key.public_key(), "root", SINCE, YEARS)
            .subject_name(_name("stamper"))
            .add_extension(self._issuer(), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(stamping, critical=True)
            .sign(self.key, SHA256())
        )

    def chain(self, *below: x509.Certificate) -> dict[str, Any]:
        """The certificates, as a trusted root lists them."""
        der = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in (*below, self.root)]
        subject = {"organization": "lab", "commonName": "root"}
        return {"subject": subject, "certChain": {"certificates": [{"rawBytes": one} for one in der]}}

    def issue(self, key: Any, claims: dict[str, Any]) -> x509.Certificate:
        """The certificate of who holds a token with these claims: first as the log sees it, then with its promise."""
        identity = f"https://github.com/{claims['job_workflow_ref']}"
        builder = (
            _builder(key, "root", datetime.now(UTC) - self.ago, timedelta(minutes=MINUTES))
            .subject_name(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
            .add_extension(self._issuer(), critical=False)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        )
        for number, value in _said(claims).items():
            oid = x509.ObjectIdentifier(f"{FULCIO}.{number}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        shown = builder.sign(self.key, SHA256())
        if not self.promised:
            return shown
        promise = x509.UnrecognizedExtension(PROMISES, self._promise(shown.tbs_certificate_bytes))
        return builder.add_extension(promise, critical=False).sign(self.key, SHA256())

    def _promise(self, shown: bytes) -> bytes:
        """RFC 6962's list of one signed certificate timestamp, over the certificate without it."""
        moment = int(datetime.now(UTC).timestamp()) * 1000
        entry = log_id(self.key.public_key()) + len(shown).to_bytes(3) + shown
        signature = signed(self.ct_key, struct.pack("!BBQH", 0, 0, moment, 1) + entry + b"\0\0")
        timestamp = struct.pack("!B32sQH", 0, log_id(self.ct_key.public_key()), moment, 0)
        timestamp += struct.pack("!BBH", 4, 3, len(signature)) + signature
        return asn1.encode_der(struct.pack("!HH", len(timestamp) + 2, len(timestamp)) + timestamp)

    def _issuer(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())

    def stamp(self, query: bytes) -> bytes:
        """The answer (RFC 3161) to a query for a time stamp, made by `openssl ts`."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / "query").write_bytes(query)
            (folder / "serial").write_text("01\n")
            (folder / "pem").write_bytes(self.stamper.public_bytes(Encoding.PEM))
            key = self.stamper_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (folder / "key").write_bytes(key)
            (folder / "conf").write_text(
                "[tsa]\nserial = serial\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256\n"
            )
            command = "openssl ts -reply -config conf -section tsa -queryfile query -signer pem -inkey key -out reply"
            subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
            return (folder / "reply").read_bytes()


def _said(claims: dict[str, Any]) -> dict[int, bytes]:
    """Fulcio's extensions for a workflow of GitHub, by the last number of their name."""
    host = "https://github.com/"
    return {
        1: claims["iss"].encode(),
        8: asn1.encode_der(claims["iss"]),
        9: asn1.encode_der(host + claims["job_workflow_ref"]),
        12: asn1.encode_der(host + claims["repository"]),
        13: asn1.encode_der(claims["sha"]),
        14: asn1.encode_der(claims["ref"]),
        18: asn1.encode_der(host + claims["workflow_ref"]),
    }


def _builder(key: Any, issuer: str, since: datetime, length: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + length)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "lab"), x509.NameAttribute(NameOID.COMMON_NAME, common)]
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})
