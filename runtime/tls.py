"""TLS of clients of MQTT, Kafka and PostgreSQL; each error names the setting to change."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from runtime.metrics import CERTIFICATE_EXPIRES
from schemas.settings.blocks import SettingsError


@dataclass(frozen=True, slots=True)
class TlsSettingNames:
    """The names of the settings of one connection; the server's certificate must contain the value of `host`."""

    what: str
    ca: str
    certificate: str
    key: str
    host: str
    switch: str


def load_ca(context: ssl.SSLContext, names: TlsSettingNames, file: str = "", pem: str = "") -> None:
    """Trust the CA of a file or of PEM text; without either, the system's CAs.

    Raises:
        SettingsError: it contains no certificate, or all have expired.
    """
    if not (file or pem):
        context.load_default_certs()
        return
    try:
        # Bundles may contain comments in any language; the certificates are ASCII.
        context.load_verify_locations(
            cafile=None if pem else file, cadata=pem.encode("ascii", "ignore").decode() or None
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"{names.ca} cannot be used: {error}") from None
    bundle = [x509.load_der_x509_certificate(der) for der in context.get_ca_certs(binary_form=True)]
    now = datetime.now(UTC)
    if not bundle:
        return
    # A bundle may contain old certificates beside new ones.
    last = max(each.not_valid_after_utc for each in bundle)
    CERTIFICATE_EXPIRES.labels(names.ca).set(last.timestamp())
    if last < now:
        raise SettingsError(f"{names.ca} expired at {last:%Y-%m-%d %H:%M} UTC; set it to the CA's new certificate")


def load_client(context: ssl.SSLContext, names: TlsSettingNames, certificate: str, key: str) -> None:
    """Use a client certificate; both arguments are names of files.

    Raises:
        SettingsError: a file cannot be read, the key is of another certificate, or the certificate is not valid now.
    """
    try:
        # With an empty password, an encrypted key is an error and not a prompt at the terminal.
        context.load_cert_chain(certificate, key, password="")
        with open(certificate, "rb") as file:  # noqa: PTH123 - the same text as for OpenSSL
            own = x509.load_pem_x509_certificate(file.read())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{names.certificate} or {names.key} cannot be used: {error}") from None
    CERTIFICATE_EXPIRES.labels(names.certificate).set(own.not_valid_after_utc.timestamp())
    now = datetime.now(UTC)
    if now > own.not_valid_after_utc:
        when = f"{own.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise SettingsError(f"{names.certificate} expired at {when}; renew the client certificate")
    if now < own.not_valid_before_utc:
        when = f"{own.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise SettingsError(f"{names.certificate} is not valid before {when}; check this machine's clock")


# OpenSSL's results of verifying the server's certificate (X509_V_ERR_*).
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
# Parts of OpenSSL's names of the alerts by which a server refuses our certificate, such as
# SSLV3_ALERT_CERTIFICATE_EXPIRED.
_CERTIFICATE_ALERTS = ("UNKNOWN_CA", "CERTIFICATE", "ACCESS_DENIED", "HANDSHAKE_FAILURE")
_VERSION_ERRORS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


def explain_tls_error(error: ssl.SSLError, names: TlsSettingNames) -> str:
    """Return what a failed handshake means and which setting to change."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, names)
    reason = error.reason or str(error)
    if any(part in reason for part in _VERSION_ERRORS):
        return f"the {names.what} does not support TLS 1.2 or newer ({reason}); enable it there"
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        return f"the {names.what} does not speak TLS at this port; check the port and {names.switch}"
    if any(part in reason for part in _CERTIFICATE_ALERTS):
        return (
            f"the {names.what} refuses our certificate ({reason}); "
            f"a CA that it trusts must have signed {names.certificate}, and it must be neither expired nor revoked"
        )
    return f"the TLS handshake with the {names.what} failed: {reason}; check {names.switch} and {names.ca}"


def _explain_certificate(error: ssl.SSLCertVerificationError, names: TlsSettingNames) -> str:
    text = f"we do not accept the certificate of the {names.what}: {error.verify_message}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"{text}; set {names.host} to a name that it contains"
    if error.verify_code == _EXPIRED:
        return f"{text}; renew it there, or check this machine's clock"
    return f"{text}; set {names.ca} to the CA that signed it"
