"""The list of prices, and what else in the project names a price."""

import json

import pytest

from flagrank.costs.prices import UnitPrice, price_list
from flagrank.local.llm_profiles import LLMProfile, speed_of
from flagrank.rerank.pricing import ANY_MODEL, BATCH_PRICE
from flagrank.settings import JudgingSettings
from tests.packaging.stack_template import TEMPLATE

LIST = price_list()


def test_every_price_has_a_source() -> None:
    """A page that anybody can open, and whether it could be read."""
    entries = [*LIST.prices.values(), *LIST.models.values(), LIST.batch_share]
    assert all(entry.source.startswith("https://") for entry in entries)


def test_a_quantity_is_priced_by_its_tiers() -> None:
    """The first units at the first price, the rest at the next one's."""
    price = UnitPrice(per=1000, tiers=((0, 2.0), (10_000, 1.0)), source="https://example.com")
    assert price.usd(5_000) == pytest.approx(10)
    assert price.usd(12_000) == pytest.approx(22)


@pytest.mark.parametrize("tiers", [((1, 2.0),), ((0, 2.0), (0, 1.0)), ()])
def test_tiers_that_leave_a_gap_are_refused(tiers: tuple[tuple[float, float], ...]) -> None:
    """They begin at nothing and rise."""
    with pytest.raises(ValueError, match="tiers"):
        UnitPrice(per=1, tiers=tiers, source="https://example.com")


def test_the_daily_cap_counts_with_the_list_s_prices() -> None:
    """The settings' defaults, the template's, and the batch's share are this list's."""
    lite, rerank = LIST.models["amazon.nova-lite-v1:0"], LIST.models["rerank:cohere.rerank-v3-5:0"]
    prices = JudgingSettings.model_fields["prices"].default
    assert (prices[ANY_MODEL].input_usd, prices[ANY_MODEL].output_usd) == (lite.input_usd, lite.output_usd)
    assert prices["rerank:*"].thousand_queries_usd == rerank.thousand_queries_usd
    assert json.loads(TEMPLATE["Parameters"]["Prices"]["Default"]) == {
        name: price.model_dump(exclude_defaults=True) for name, price in prices.items()
    }
    assert LIST.batch_share.usd == BATCH_PRICE


def test_every_model_that_the_local_cloud_imitates_has_a_price() -> None:
    """What is tried at home can be reckoned."""
    models = {speed_of(profile).model_id for profile in LLMProfile} - {None}
    assert models <= LIST.models.keys()
