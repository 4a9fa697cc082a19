"""The check of `gateway doctor` for access to the API."""

from api.auth.jwks import IssuerUnavailableError, Jwks
from api.auth.startup_check import check_access_at_startup
from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback
from schemas.settings.blocks import ApiSettings, DatabaseSettings


async def check_api_access() -> str:
    """Return a sentence about who may use the API.

    Raises:
        GatewayError: the API is open to other machines, or nobody could use it.
    """
    host, access = ApiSettings.load().api_host, AccessSettings.load()
    if access.is_open(host):
        if not is_loopback(host):
            raise GatewayError(
                f"API_AUTH is open, so everybody who reaches {host} may do everything; create keys with "
                "`gateway keys create`, and set API_AUTH=required"
            )
        return f"open to everybody on this machine only ({host})"
    if access.api_oidc_issuer:
        try:
            await Jwks(access).find("any")
        except IssuerUnavailableError as error:
            raise GatewayError(str(error)) from None
        return f"requires a key, or a token of {access.api_oidc_issuer}"
    await check_access_at_startup(host, access, DatabaseSettings.load())
    return "requires a key"
