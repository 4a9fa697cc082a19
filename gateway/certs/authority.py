"""A private CA that signs certificates: for servers with their names, for clients with their identity."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
# For devices and other machines whose clocks are behind.
_BACKDATED_BY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates. Keys use the curve P-256, which all brokers and devices support."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str, days: int = CA_DAYS) -> Self:
        """Create a new CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        certificate = (
            _builder(subject, key, (begins := datetime.now(UTC) - _BACKDATED_BY), begins + timedelta(days=days))
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def load(cls, pair: CertificatePair) -> Self:
        """Load an existing CA; raises ValueError if the files are not a CA of this kind."""
        key = serialization.load_pem_private_key(pair.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is not an elliptic curve key")  # noqa: TRY004 - the content of a file is wrong, not an argument's type
        return cls(x509.load_pem_x509_certificate(pair.certificate), key)

    @property
    def pair(self) -> CertificatePair:
        """The certificate and key of the CA; keep the key safe."""
        return _pair(self._certificate, self._key)

    @property
    def certificate(self) -> bytes:
        """The CA certificate that others trust."""
        return self.pair.certificate

    @property
    def ends(self) -> datetime:
        """The end of the validity of the CA, and so of all its certificates."""
        return self._certificate.not_valid_after_utc

    def server(self, names: Sequence[str], days: float, begins: datetime | None = None) -> CertificatePair:
        """Sign a server certificate for these names and addresses; see `client` for its validity."""
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        return self._issue(names[0], ExtendedKeyUsageOID.SERVER_AUTH, days, begins, alternatives)

    def client(self, identity: str, days: float, begins: datetime | None = None) -> CertificatePair:
        """Sign a client certificate with the common name `identity`, of at most 64 bytes.

        It is valid for `days`, but not longer than the CA.
        """
        return self._issue(identity, ExtendedKeyUsageOID.CLIENT_AUTH, days, begins)

    def _issue(
        self,
        name: str,
        purpose: x509.ObjectIdentifier,
        days: float,
        begins: datetime | None,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> CertificatePair:
        key = ec.generate_private_key(ec.SECP256R1())
        begins = begins or datetime.now(UTC) - _BACKDATED_BY
        builder = (
            _builder(_name(name), key, begins, min(begins + timedelta(days=days), self.ends))
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> CertificatePair:
    return CertificatePair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
