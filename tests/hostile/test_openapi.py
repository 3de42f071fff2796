"""The API against its own OpenAPI document: whatever is asked, the answer is one that the document has."""

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from flagrank.serving.asgi import create_app
from tests.factories import make_attributes, make_factors
from tests.wiring import Wired

pytestmark = pytest.mark.slow

CASES, FULL_CASES = 50, 2500
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
# ids are of the catalogue's type, which no document can say; a text is one of every kind
TEXT_IDS = make_factors(
    items=200,
    item_ids=np.array([f"item-{number}" for number in range(200)]),
    user_ids=np.array([f"user-{number}" for number in range(10)]),
    attributes=make_attributes(200),
)
# nor can it say which attributes there are to filter by
FILTERS = st.sampled_from(["price<50", "brand=brand 1|brand 2", "stock>=3,price!=2.5", "stock>0"])
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", create_app(Wired(factors=TEXT_IDS).service))
# without parameters there is nothing to break
WITHOUT_PARAMETERS = ("GET /health", GenerationMode.NEGATIVE)
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("label", "mode"), [pair for pair in product(OPERATIONS, GenerationMode) if pair != WITHOUT_PARAMETERS]
)
def test_every_answer_is_a_documented_one(label: str, mode: GenerationMode, full: bool) -> None:
    """No 5xx, no status, media type or body that the document does not have, nothing accepted that it forbids."""
    asked = Counter[int]()

    @settings(max_examples=FULL_CASES if full else CASES, deadline=None, suppress_health_check=SUPPRESSED)
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode), known=FILTERS)
    def check(case: Any, known: str) -> None:
        for fields in (case.query, case.body):
            if mode is GenerationMode.POSITIVE and isinstance(fields, dict) and fields.get("filter") is not None:
                fields["filter"] = known
        response = case.call()
        asked[response.status_code] += 1
        case.validate_response(response)

    check()
    print(label, mode, dict(asked))
    assert asked
