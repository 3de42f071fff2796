"""The pipeline with its telemetry: what the API serves."""

from dataclasses import dataclass

from flagrank.domain import Recommendation, RecommendRequest
from flagrank.errors import FactorsUnavailable, InvalidRequest
from flagrank.serving.pipeline import Recommender
from flagrank.serving.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Service:
    """Recommends, and records each answer."""

    recommender: Recommender
    telemetry: Telemetry

    def recommend(self, query: RecommendRequest) -> Recommendation:
        """The answer; raises InvalidRequest or FactorsUnavailable, which are not recorded: the gateway counts them.

        Whatever else goes wrong is recorded with the user's arm, and raised.
        """
        try:
            answer = self.recommender.recommend(query)
        except (InvalidRequest, FactorsUnavailable):
            raise
        except Exception:
            self.telemetry.record_failure(*self.recommender.assigned(query))
            raise
        self.telemetry.record(answer)
        return answer

    def factors_version(self) -> str:
        """The version in force; raises FactorsUnavailable."""
        return self.recommender.factors.current().version
