"""A running local cloud's figures, as its gateway tells them."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from flagrank.delivery.analysis.counts import ArmFigures, Arms
from flagrank.errors import CloudError

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class LocalFigures:
    """A FiguresSource over `GET /_local/figures` of the local cloud that serves `port`."""

    port: int

    def read(self, since_s: float, until_s: float) -> Arms:
        """See FiguresSource."""
        path = "_local/figures?" + urlencode({"since_s": since_s, "until_s": until_s})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=TIMEOUT_S) as answer:
                told = orjson.loads(answer.read())
        except (urllib.error.URLError, TimeoutError, ValueError) as error:
            raise CloudError(f"the local cloud at port {self.port} tells no figures: {error}") from error
        arms = ({**told[arm], "slower": tuple(told[arm]["slower"])} for arm in ("treatment", "control"))
        return Arms(*(ArmFigures(**arm) for arm in arms))
