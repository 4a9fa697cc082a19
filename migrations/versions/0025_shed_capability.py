"""What a VEN can plausibly shed, whatever it claims."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

# What the enabled loads can shed now, in kW, at most `limit_kw`; null if no load is listed. `shed_kw` is what they shed
# already and can shed again. A load that draws 1 kW cannot shed 3, and no load more than its capacity. Unknown values
# bound nothing.
SHED_CAPABILITY = """
CREATE FUNCTION shed_capability(loads json, shed_kw double precision, limit_kw double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN count(*) > 0
                THEN LEAST(limit_kw, COALESCE(sum(sheds), 0) + LEAST(shed_kw, COALESCE(sum(shed_already), 0))) END
    FROM json_to_recordset(CASE WHEN json_typeof(loads) = 'array' THEN loads END) AS load(
             "shedCapabilityKw" float8, "currentPowerKw" float8, "capacityKw" float8, enabled boolean)
         LEFT JOIN LATERAL (
             SELECT LEAST(GREATEST("shedCapabilityKw", 0), drawn, "capacityKw") AS sheds,
                    CASE WHEN "capacityKw" IS NULL THEN 'Infinity'
                         ELSE GREATEST("capacityKw" - COALESCE(drawn, 0), 0) END AS shed_already
             FROM (SELECT CASE WHEN "currentPowerKw" < 0 THEN 0 ELSE "currentPowerKw" END AS drawn) AS bounded
         ) AS powers ON COALESCE(enabled, true);
END
"""


def upgrade() -> None:
    op.execute(SHED_CAPABILITY)


def downgrade() -> None:
    op.execute("DROP FUNCTION shed_capability")
