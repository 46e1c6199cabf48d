"""What a request is refused with: a status and a sentence."""


class RequestError(Exception):
    """A request that is answered with a sentence instead."""

    def __init__(self, status: int, sentence: str, *, retry_after: int | None = None) -> None:
        """Says why.

        Args:
            status: of HTTP.
            sentence: what was expected, what came, and the way out.
            retry_after: seconds after which another try makes sense.
        """
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the status."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def busy(sentence: str) -> RequestError:
    """A refusal that may be another answer a little later."""
    return RequestError(503, sentence, retry_after=2)
