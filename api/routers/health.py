"""Health: live while the process works, ready while the servers that it needs answer."""

from fastapi import APIRouter, Request, Response, status

from api.dependencies import HealthDatabase, Live
from api.http.problems import UnavailableError
from runtime.database import DATABASE_OUTAGES, Pool
from schemas.rest.health import Health

router = APIRouter(prefix="/health", tags=["health"])

CHECK_SECONDS = 2.0
OPEN_TO_ALL = (
    "everybody who reaches this address may do everything (API_AUTH=open); create keys and set API_AUTH=required"
)


@router.get("", operation_id="isHealthy", response_model_exclude_none=True)
@router.get("/live", operation_id="isAlive", response_model_exclude_none=True)
async def live(request: Request) -> Health:
    """Check that the process works; 503 when a vital background task has ended and only a restart helps."""
    if request.app.state.supervisor.failure is not None:
        raise UnavailableError(str(request.app.state.supervisor.failure))
    warnings = [OPEN_TO_ALL] if request.app.state.open_to_all else None
    return Health(status="ok", warnings=warnings)


@router.get(
    "/ready",
    operation_id="isReady",
    response_model_exclude_none=True,
    responses={503: {"model": Health, "description": "A check failed; `checks` says which."}},
)
async def ready(database: HealthDatabase, totals: Live, response: Response) -> Health:
    """Check that requests can be answered: 503 while the database is down or no totals were read yet."""
    checks = {"database": await _database_answers(database), "totals": totals.latest is not None}
    if not all(checks.values()):
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Health(status="ok" if all(checks.values()) else "unavailable", checks=checks)


@router.get("/db-check", operation_id="isDatabaseThere", response_model_exclude_none=True)
async def db_check(database: HealthDatabase) -> Health:
    """Check the database; 503 when it does not answer."""
    if not await _database_answers(database):
        raise UnavailableError("the database does not answer; check DB_HOST and DB_PORT, and that it runs")
    return Health(status="ok")


async def _database_answers(pool: Pool) -> bool:
    try:
        async with pool.acquire(timeout=CHECK_SECONDS) as connection:
            return bool(await connection.fetchval("SELECT 1", timeout=CHECK_SECONDS) == 1)
    except DATABASE_OUTAGES:
        return False
