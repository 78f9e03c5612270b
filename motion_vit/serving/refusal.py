"""The refusal of a request: a status of HTTP and a sentence."""

from motion_vit.errors import UserError


class RefusedRequestError(UserError):
    """Error of a request that is not answered.

    Attributes:
      status: of HTTP, from 400 on.
      retry_after: seconds after which the same request may be taken; 0 where it will not be.
    """

    def __init__(self, status: int, sentence: str, retry_after: int = 0) -> None:
        """Makes the error.

        Args:
          status: of HTTP.
          sentence: what is wrong, and what to do.
          retry_after: seconds.
        """
        super().__init__(sentence)
        self.status, self.retry_after = status, retry_after
