"""What the commands do; each change is in the audit, or was not made."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from api.auth.api_keys import NewApiKey, new_key
from api.auth.audit import AuditedAction
from api.auth.principal import cli_principal
from api.queries.keys import insert_key, revoke_key
from runtime.database import Pool
from schemas.base.access_role import AccessRole
from schemas.base.errors import GatewayError


async def create_key(pool: Pool, name: str, role: AccessRole, days: int | None) -> NewApiKey:
    """Make a key that holds for so many days; None is for ever."""
    made = new_key()
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    action = AuditedAction(cli_principal(), "CLI", f"gateway keys create {name} --role {role}")
    action.result = made.key_id
    async with action.transaction(pool) as connection:
        await insert_key(connection, made.key_id, made.digest, name, role, expires_at)
    return made


async def revoke_keys(pool: Pool, ids: Sequence[str]) -> list[str]:
    """Revoke all of these keys or none, and return how they are called.

    Raises:
        GatewayError: names one that is not there, or is revoked already.
    """
    action = AuditedAction(cli_principal(), "CLI", f"gateway keys revoke {' '.join(ids)}")
    names = []
    async with action.transaction(pool) as connection:
        for key_id in dict.fromkeys(ids):
            name = await revoke_key(connection, key_id)
            if name is None:
                raise GatewayError(f"there is no key {key_id} to revoke; gateway keys list shows those there are")
            names.append(f"{key_id} ({name})")
    return names
