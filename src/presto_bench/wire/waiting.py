"""How long to wait before a call is repeated."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tenacity import RetryCallState, wait_exponential_jitter


def wait(state: RetryCallState) -> float:
    """Seconds: 0.5, 1, 2, … up to a minute, with jitter; at least what Retry-After says."""
    return max(wait_exponential_jitter(multiplier=0.5, max=60, jitter=0.5)(state), asked_for(state.outcome.exception()))


def asked_for(error: BaseException | None) -> float:
    """Seconds that the endpoint asks to be left alone for."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    return _retry_after(headers.get("retry-after"))


def _retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 where it says nothing readable."""
    if header is None:
        return 0.0
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0
