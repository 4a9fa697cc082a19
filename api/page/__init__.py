"""The operations page: plain files, served as they are."""

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent

# Nothing from elsewhere, and no script but our files: what a device calls itself can do no harm even where a mistake
# of ours would let it into the page as markup.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
}


# The last is that of licences.
_SERVED = frozenset({".css", ".html", ".js", ".svg", ""})


class _Files(StaticFiles):
    """Only what a browser needs, with the headers of the page; asked for anew each time, and sent when it changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path if Path(path).suffix in _SERVED else "nothing", scope)
        answer.headers.update(HEADERS)
        return answer


def add_page(app: FastAPI) -> None:
    """Serve the page at `/`, and what it is made of below `/page`."""

    async def page(_request: Request) -> FileResponse:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)

    app.add_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/page", _Files(directory=FOLDER), name="page")
