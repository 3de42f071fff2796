"""The pipeline with its telemetry: what the API serves."""

from dataclasses import dataclass

from flagrank.domain import UNKNOWN_ORIGIN, Origin, Recommendation, RecommendRequest, SimilarItems, SimilarRequest
from flagrank.errors import BaselineFailed, InvalidRequest, UnknownItem
from flagrank.rerank.handoff import Handoff
from flagrank.serving.pipeline import Recommender
from flagrank.serving.similar import find_similar
from flagrank.serving.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Service:
    """Recommends, records each answer, and starts what the request handed over."""

    recommender: Recommender
    telemetry: Telemetry
    handoff: Handoff

    def recommend(self, request: RecommendRequest, origin: Origin = UNKNOWN_ORIGIN) -> Recommendation:
        """The answer. Raises InvalidRequest and FactorsUnavailable, which the gateway counts.

        Raises BaselineFailed for a bug, which is recorded here in the arm that was decided.
        """
        try:
            answer = self.recommender.recommend(request)
        except BaselineFailed as failure:
            self.telemetry.record_failure(failure, origin)
            raise
        self.telemetry.record(answer, origin)
        self.handoff.start()
        return answer

    def similar(self, request: SimilarRequest, origin: Origin = UNKNOWN_ORIGIN) -> SimilarItems:
        """Items like one; raises InvalidRequest, UnknownItem and FactorsUnavailable, which the gateway counts.

        Recorded under names of its own: there is no arm, and the rollout's figures are those of its arms.
        """
        factors, rules = self.recommender.factors.current(), self.recommender.rules
        try:
            answer = find_similar(request, factors, rules.given, rules.over(factors))
        except (InvalidRequest, UnknownItem):
            raise
        except Exception:
            self.telemetry.record_similar(request, factors.version, origin, failed=True)
            raise
        self.telemetry.record_similar(request, factors.version, origin, failed=False)
        return answer

    def factors_version(self) -> str:
        """The version in force; raises FactorsUnavailable."""
        return self.recommender.factors.current().version
