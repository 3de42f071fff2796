"""The pipeline with its telemetry: what the API serves."""

from dataclasses import dataclass

from flagrank.domain import Recommendation, RecommendQuery
from flagrank.pipeline import Recommender
from flagrank.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Service:
    """Recommends, and records each answer."""

    recommender: Recommender
    telemetry: Telemetry

    def recommend(self, query: RecommendQuery) -> Recommendation:
        """The answer; raises InvalidRequest or FactorsUnavailable, which are not recorded: the gateway counts them."""
        answer = self.recommender.recommend(query)
        self.telemetry.record(answer)
        return answer

    def factors_version(self) -> str:
        """The version in force; raises FactorsUnavailable."""
        return self.recommender.factors.current().version
