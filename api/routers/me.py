"""Who asks: for pages and programs that show only what may be done."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from api.auth.principal import Principal
from schemas.rest.access import Me

router = APIRouter(prefix="/api", tags=["access"])


@router.get("/me")
async def read_me(request: Request) -> Me:
    """Read whose key or token this is, with which role, and until when it holds."""
    who: Principal = request.state.principal
    until = None if who.expires_at is None else datetime.fromtimestamp(who.expires_at, UTC)
    return Me(id=who.id, name=who.name, role=who.role, by=who.by, expires_at=until)
