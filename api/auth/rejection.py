"""Requests that the authentication middleware rejects, with the response."""

import math
from http import HTTPStatus

from api.http.problems import RETRY_AFTER_SECONDS

CHALLENGE = 'Bearer realm="grid-event-gateway"'


class RejectedRequestError(Exception):
    """A request that may not proceed; `status`, `detail` and `headers` are its response."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def unauthenticated() -> RejectedRequestError:
    """Return a 401 for a request without a key or token."""
    return RejectedRequestError(
        HTTPStatus.UNAUTHORIZED,
        "this needs an API key or a token; send it as `Authorization: Bearer …` (`gateway keys create` creates keys)",
        www_authenticate=CHALLENGE,
    )


def invalid_credentials(detail: str) -> RejectedRequestError:
    """Return a 401 for a key or token that is not valid."""
    return RejectedRequestError(HTTPStatus.UNAUTHORIZED, detail, www_authenticate=f'{CHALLENGE}, error="invalid_token"')


def insufficient_role(detail: str, needed: str | None = None) -> RejectedRequestError:
    """Return a 403 for a key or token without the needed access role."""
    scope = "" if needed is None else f', scope="{needed}"'
    challenge = f'{CHALLENGE}, error="insufficient_scope"{scope}'
    return RejectedRequestError(HTTPStatus.FORBIDDEN, detail, www_authenticate=challenge)


def too_many_requests(wait: float, detail: str) -> RejectedRequestError:
    """Return a 429; the client may retry after `wait` seconds."""
    return RejectedRequestError(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after=str(math.ceil(wait)))


def unavailable(detail: str) -> RejectedRequestError:
    """Return a 503 for a key or token that cannot be checked now."""
    return RejectedRequestError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after=str(RETRY_AFTER_SECONDS))
