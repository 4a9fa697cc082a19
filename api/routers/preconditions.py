"""Checks before a route does its work."""

from api.http.problems import not_found
from api.queries.vens import ven_exists
from runtime.database import Pool


async def require_ven(pool: Pool, ven_id: str) -> None:
    """Check that the VEN is registered.

    Raises:
        HTTPException: 404.
    """
    if not await ven_exists(pool, ven_id):
        raise not_found("VEN", ven_id)
