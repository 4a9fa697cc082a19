"""What has to be there before anything of it can be asked for."""

from api.http.problems import unknown
from api.queries.vens import ven_exists
from runtime.database import Pool


async def require_ven(pool: Pool, ven_id: str) -> None:
    """Return when the registry has the VEN.

    Raises:
        HTTPException: 404.
    """
    if not await ven_exists(pool, ven_id):
        raise unknown("VEN", ven_id)
