"""What goes wrong, as HTTP says it: problem documents (RFC 9457), and which status an error reply is."""

from collections.abc import Mapping
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"

# Errors of commands by their first word; any other is the request's fault.
STATUS_OF = {
    "WRONGTYPE": 409,
    "BUSYKEY": 409,
    "NOAUTH": 401,
    "WRONGPASS": 401,
    "NOPERM": 403,
    "READONLY": 403,
    "OOM": 507,
    "MISCONF": 503,
    "LOADING": 503,
    "BUSY": 503,
    "MASTERDOWN": 503,
    "NOREPLICAS": 503,
    "PAUSED": 503,
}
RETRY_SECONDS = "1"  # what Retry-After says of what passes by itself


class ProblemError(Exception):
    """Ends a request. code: one word for programs; detail: a sentence for people."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}

    def document(self) -> dict[str, object]:
        """The problem document."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }


def of_command(text: str) -> ProblemError:
    """The problem that an error reply is: `WRONGTYPE Operation against …` is a conflict.

    >>> of_command("OOM command not allowed").status
    507
    """
    word, _, detail = text.partition(" ")
    code = word if word.isupper() else "ERR"
    status = STATUS_OF.get(code, 400)
    headers = {"Retry-After": RETRY_SECONDS} if status == 503 else {}
    return ProblemError(status, code, detail if code == word else text, headers)


def bad_request(detail: str) -> ProblemError:
    return ProblemError(400, "BAD_REQUEST", detail)


def unprocessable(detail: str) -> ProblemError:
    return ProblemError(422, "INVALID", detail)
