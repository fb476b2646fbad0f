"""The other road: how the compiled one gives a request up, before anything of it is answered."""


class OrdinaryRoad(Exception):  # noqa: N818 -- no error: the other road answers
    """Why a request is answered on the ordinary road; after a `failure`, it only has to tell it."""

    def __init__(self, why: str, failure: Exception | None = None) -> None:
        super().__init__(why)
        self.failure = failure
