"""TLS to PostgreSQL, with the modes of libpq's sslmode."""

import ssl

from runtime.tls import TlsSettingNames, explain_tls_error, load_ca, load_client
from schemas.settings.blocks import DatabaseSettings

NAMES = TlsSettingNames(
    what="database",
    ca="DB_SSLROOTCERT",
    certificate="DB_SSLCERT",
    key="DB_SSLKEY",
    host="DB_HOST",
    switch="DB_SSLMODE",
)


def database_tls(settings: DatabaseSettings) -> ssl.SSLContext | str | bool:
    """Return the `ssl` argument of asyncpg.

    Raises:
        SettingsError: a file cannot be used; the message names the setting.
    """
    mode = settings.db_sslmode
    if mode == "disable":
        return False
    if mode == "prefer":
        return "prefer"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.check_hostname = mode == "verify-full"
        load_ca(context, NAMES, settings.db_sslrootcert)
    if settings.db_sslcert:
        load_client(context, NAMES, settings.db_sslcert, settings.db_sslkey)
    return context


def diagnose_database_tls(error: BaseException) -> str | None:
    """Return why TLS failed and the setting to change; None for other errors."""
    if isinstance(error, ssl.SSLError):
        return explain_tls_error(error, NAMES)
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return "the database does not speak TLS; turn it on there (ssl = on), or set DB_SSLMODE=prefer"
    return None


def describe_failure(error: BaseException) -> str:
    """Return for the log why the database failed; if TLS failed, the setting to change."""
    return diagnose_database_tls(error) or f"{type(error).__name__}: {error}"
