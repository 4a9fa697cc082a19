"""TLS of a client, alike towards MQTT, the log and the database: what is wrong names the setting that mends it."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from runtime.metrics import CERTIFICATE_EXPIRES
from schemas.settings.blocks import SettingsError


@dataclass(frozen=True, slots=True)
class TlsSettingNames:
    """What the settings of one connection are called; `host` is what has to be in the server's certificate."""

    what: str
    ca: str
    certificate: str
    key: str
    host: str
    switch: str


def load_ca(context: ssl.SSLContext, names: TlsSettingNames, file: str = "", pem: str = "") -> None:
    """Trust the CA of a file or of PEM text; without either, those of the system.

    Raises:
        SettingsError: there is no certificate in it, or none that is still good.
    """
    if not (file or pem):
        context.load_default_certs()
        return
    try:
        # Bundles may hold comments in any language; the certificates are ASCII.
        context.load_verify_locations(
            cafile=None if pem else file, cadata=pem.encode("ascii", "ignore").decode() or None
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"{names.ca} cannot be used: {error}") from None
    bundle = [x509.load_der_x509_certificate(der) for der in context.get_ca_certs(binary_form=True)]
    now = datetime.now(UTC)
    if not bundle:
        return
    # A bundle may keep old ones beside new ones.
    last = max(each.not_valid_after_utc for each in bundle)
    CERTIFICATE_EXPIRES.labels(names.ca).set(last.timestamp())
    if last < now:
        raise SettingsError(f"{names.ca} expired at {last:%Y-%m-%d %H:%M} UTC; put the CA's new certificate there")


def load_client(context: ssl.SSLContext, names: TlsSettingNames, certificate: str, key: str) -> None:
    """Show a client certificate; both are names of files.

    Raises:
        SettingsError: one cannot be read, they do not belong together, or it is too early or too late for it.
    """
    try:
        # A key under a pass phrase is an error, not a question at the terminal.
        context.load_cert_chain(certificate, key, password="")
        with open(certificate, "rb") as file:  # noqa: PTH123 - a name, as OpenSSL took it
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
        raise SettingsError(f"{names.certificate} is valid from {when} only; check this machine's clock")


# Of OpenSSL: what it calls the outcome of looking at the server's certificate.
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
# What a server says of our certificate, as OpenSSL words it: SSLV3_ALERT_CERTIFICATE_EXPIRED and so on.
_OF_OUR_CERTIFICATE = ("UNKNOWN_CA", "CERTIFICATE", "ACCESS_DENIED", "HANDSHAKE_FAILURE")
_OF_THE_VERSION = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")


def explain_tls_error(error: ssl.SSLError, names: TlsSettingNames) -> str:
    """Say what a failed handshake means, which setting is at fault, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, names)
    reason = error.reason or str(error)
    if any(part in reason for part in _OF_THE_VERSION):
        return f"the {names.what} speaks no TLS 1.2 or newer ({reason}); allow it there"
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
        return f"the {names.what} speaks no TLS at this port; check the port and {names.switch}"
    if any(part in reason for part in _OF_OUR_CERTIFICATE):
        return (
            f"the {names.what} refuses our certificate ({reason}); "
            f"{names.certificate} has to be signed by a CA that it trusts, and neither expired nor revoked"
        )
    return f"the TLS handshake with the {names.what} failed: {reason}; check {names.switch} and {names.ca}"


def _explain_certificate(error: ssl.SSLCertVerificationError, names: TlsSettingNames) -> str:
    text = f"the certificate of the {names.what} is not accepted: {error.verify_message}"
    if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
        return f"{text}; set {names.host} to a name that is in it"
    if error.verify_code == _EXPIRED:
        return f"{text}; renew it there, or check this machine's clock"
    return f"{text}; set {names.ca} to the CA that signed it"
