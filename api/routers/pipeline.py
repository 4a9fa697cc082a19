"""How the way from the VENs to the tables goes, from memory."""

from fastapi import APIRouter, Request

from api.http.problems import UnavailableError
from api.services.pipeline_monitor import PipelineMonitor
from schemas.rest.pipeline import PipelineStats

router = APIRouter(prefix="/api/stats", tags=["stats"])


@router.get("/pipeline", operation_id="readPipelineStats")
async def read_pipeline(request: Request) -> PipelineStats:
    """Read how many records wait for each stream role, how many come in, and how old the newest reading is."""
    pipeline: PipelineMonitor = request.app.state.pipeline
    if pipeline.latest is None:
        raise UnavailableError("the API has only just started and has not looked yet; try again soon")
    return pipeline.latest
