"""`gateway doctor`."""

from gateway.interruptible import run_until_interrupted
from schemas.base.errors import GatewayError


def doctor() -> None:
    """Check every setting and every server, and say what to do about each problem."""
    from gateway.diagnostics.doctor import run_doctor

    if not run_until_interrupted(lambda _stop: run_doctor()):
        raise GatewayError("some checks failed; each line marked ✗ says what to do")
