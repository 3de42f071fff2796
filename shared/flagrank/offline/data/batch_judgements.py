"""Judgements in the results of Bedrock's batch inference: each line holds the prompt and the model's answer.

Lines are as the service writes them for Converse records: recordId, modelInput, and modelOutput or error. Source:
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-results.html
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from flagrank.errors import DataError, RerankError
from flagrank.offline.data.judgements import JudgedText, lines_of
from flagrank.ports import Completion
from flagrank.rerank.answers import FORMS
from flagrank.rerank.parsing import parse_answer
from flagrank.rerank.records import entry_key

_FORMS = {form.system: form for form in FORMS.values()}
_FENCE = re.compile(r"<<<DATA (\w+)\n(.*?)\n\1 DATA>>>", re.DOTALL)


def read_batch_results(file: Path, model: str) -> Iterator[JudgedText]:
    """The judgements of a results file, which does not name its `model`; answers that cannot be read are left out.

    Raises DataError with the line that is no result of a listwise prompt.
    """
    for number, line in lines_of(file):
        try:
            record = orjson.loads(line)
            if "error" not in record:
                yield from _judged(record, model)
        except RerankError:
            continue
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(str(file), number, f"is no batch result of a judging prompt: {error!r}") from error


def _judged(record: dict[str, Any], model: str) -> Iterator[JudgedText]:
    asked, answered = record["modelInput"], record["modelOutput"]
    found = _FENCE.search(asked["messages"][0]["content"][0]["text"])
    if found is None:
        raise ValueError("no data between fences")
    data = orjson.loads(found[2])
    form = _FORMS[asked["system"][0]["text"]]
    text = "".join(part.get("text", "") for part in answered["output"]["message"]["content"])
    usage = answered.get("usage", {})
    completion = Completion(text, answered["stopReason"], usage.get("inputTokens", 0), usage.get("outputTokens", 0))
    items = data["items"]
    for index, relevance in parse_answer(completion, len(items), form).items():
        yield JudgedText(data["intent"], entry_key(items[index]["text"]), relevance, model)
