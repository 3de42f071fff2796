"""A running local cloud's counts, as its gateway answers them."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from flagrank.delivery.analysis.counts import ArmCounts, Arms
from flagrank.errors import CloudError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class LocalCounts:
    """A CountsSource over `GET /_local/figures` of the local cloud that serves `port`."""

    port: int

    def read(self, since_s: float, until_s: float) -> Arms:
        """See CountsSource."""
        path = "_local/figures?" + urlencode({"since_s": since_s, "until_s": until_s})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=TIMEOUT_S) as answer:
                document = orjson.loads(answer.read())
            return Arms(*(ArmCounts.from_document(document[arm]) for arm in ("treatment", "control")))
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise CloudError(f"the local cloud at port {self.port} has no counts: {error}") from error
