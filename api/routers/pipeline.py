"""The state of the pipeline from the VENs to the tables, from memory."""

from fastapi import APIRouter, Request

from api.http.problems import UnavailableError
from api.services.pipeline_monitor import PipelineMonitor
from schemas.rest.pipeline import PipelineStats

router = APIRouter(prefix="/api/stats", tags=["stats"])


@router.get("/pipeline", operation_id="readPipelineStats")
async def read_pipeline(request: Request) -> PipelineStats:
    """Read the backlog of each stream role, the rate of incoming messages, and the age of the newest reading."""
    monitor: PipelineMonitor = request.app.state.pipeline
    if monitor.latest is None:
        raise UnavailableError("the API has just started and has not polled the pipeline yet; try again soon")
    return monitor.latest
