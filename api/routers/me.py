"""Who makes the request, for pages and programs that show only what the access role permits."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request

from api.auth.principal import Principal
from schemas.rest.access import Me

router = APIRouter(prefix="/api", tags=["access"])


@router.get("/me")
async def read_me(request: Request) -> Me:
    """Read the name, access role and expiry of the key or token that made this request."""
    who: Principal = request.state.principal
    expires_at = None if who.expires_at is None else datetime.fromtimestamp(who.expires_at, UTC)
    return Me(id=who.id, name=who.name, role=who.role, by=who.by, expires_at=expires_at)
