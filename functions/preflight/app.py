"""Lambda entry: CodeDeploy's check before traffic. The new version answers a synthetic request, or gets no users.

Without the layer, so that it still runs when the layer is what is broken.
"""

import json
import logging
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# an id of either type that no catalogue uses: the cold path, through flag, factors and rules
TOP_K = 5
QUESTION = {"user_id": "0", "top_k": TOP_K}

# longer than the function that is asked may take
_patient = Config(connect_timeout=2, read_timeout=35, retries={"total_max_attempts": 2, "mode": "standard"})
_lambda = boto3.client("lambda", config=_patient)
_codedeploy = boto3.client("codedeploy", config=_patient)
_new, _live = os.environ["NEW_VERSION"], os.environ["LIVE_ALIAS"]

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Tells CodeDeploy whether the new version answers, or fails just as the live one does."""
    problem = ask(_new)
    if problem is not None and problem == ask(_live):
        logger.warning("the new version fails as the live one does, so it is not the cause: %s", problem)
        problem = None
    status = "Succeeded" if problem is None else "Failed"
    logger.info("preflight of %s: %s", _new, problem or "it answers")
    _codedeploy.put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )
    return {"status": status, "problem": problem}


def ask(function: str) -> str | None:
    """What is wrong with a function's answer to the synthetic request; None if nothing is."""
    try:
        answer = _lambda.invoke(FunctionName=function, Payload=json.dumps(QUESTION).encode())
        payload = json.loads(answer["Payload"].read())
    except (BotoCoreError, ClientError, ValueError) as error:
        return f"no answer: {type(error).__name__}"
    if "FunctionError" in answer or not isinstance(payload, dict):
        return f"it crashed: {payload}"
    items = payload.get("top_items")
    if not items:
        return f"no items: {payload.get('reason') or payload.get('title')}"
    if len(set(items)) != len(items) or len(items) > TOP_K:
        return f"not a list of at most {TOP_K} different items: {items}"
    return None
