"""What has to be there before anything of it can be asked for."""

from api.http.problems import not_found
from api.queries.vens import ven_exists
from runtime.database import Pool


async def require_ven(pool: Pool, ven_id: str) -> None:
    """Return when the registry has the VEN.

    Raises:
        HTTPException: 404.
    """
    if not await ven_exists(pool, ven_id):
        raise not_found("VEN", ven_id)
