"""`/docs` (Swagger UI). All assets come from this process, so that it works without internet access."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

ASSETS = "/docs/assets"
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI and its assets, which the package `fastapi-offline` contains."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        page = _swagger_ui(app, request)
        # Allow the one inline script by its hash, and the styles that Swagger UI sets on its elements.
        inline = b64encode(sha256(_SCRIPT.findall(bytes(page.body))[-1]).digest()).decode()
        page.headers["content-security-policy"] = (
            f"default-src 'none'; script-src 'self' 'sha256-{inline}'; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return page

    app.mount(ASSETS, StaticFiles(packages=[("fastapi_offline", "static")]))


def _swagger_ui(app: FastAPI, request: Request) -> HTMLResponse:
    # The path prefix that a proxy in front of the API removed.
    root = request.scope.get("root_path", "")
    return get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
        # Without this, Swagger UI may send the description to swagger.io.
        swagger_ui_parameters={"validatorUrl": None},
    )
