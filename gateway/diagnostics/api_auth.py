"""The doctor's look at who may use the API."""

from api.auth.jwks import IssuerUnavailableError, Jwks
from api.auth.startup_check import check_access_at_startup
from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback
from schemas.settings.blocks import ApiSettings, DatabaseSettings


async def who_may_use_the_api() -> str:
    """Say who may.

    Raises:
        GatewayError: everybody may who should not, or nobody could; it says what to do.
    """
    host, access = ApiSettings.load().api_host, AccessSettings.load()
    if access.is_open(host):
        if not is_loopback(host):
            raise GatewayError(
                f"everybody who reaches {host} may do everything, for API_AUTH is open; make keys with "
                "`gateway keys create`, and set API_AUTH=required"
            )
        return f"open to everybody on this machine, and to nobody else ({host})"
    if access.api_oidc_issuer:
        try:
            await Jwks(access).find("any")
        except IssuerUnavailableError as error:
            raise GatewayError(str(error)) from None
        return f"asks for a key, or a token of {access.api_oidc_issuer}"
    await check_access_at_startup(host, access, DatabaseSettings.load())
    return "asks for a key"
