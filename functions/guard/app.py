"""Lambda entry: an alarm is sent, or looked up every few minutes, and exposure goes down, never up."""

import datetime as dt
import os
from dataclasses import asdict
from typing import Any

import boto3
from botocore.config import Config

from flagrank.adapters.control import guard_emf
from flagrank.adapters.control.appconfig_deployments import GUARD_PATIENCE
from flagrank.adapters.control.appconfig_rollout import AppConfigRolloutControl
from flagrank.adapters.control.appconfig_versions import FlagIds
from flagrank.adapters.control.cloudwatch_alarms import AlarmActions, firing_since
from flagrank.delivery.alarm import Alarm, read_alarm, still_firing
from flagrank.delivery.guard import GOOD_AFTER_S, respond

# Lambda calls it without waiting for the answer, so the clients may be patient
_PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 4, "mode": "standard"})
# by id, since the role may not look names up
_IDS = FlagIds(*(os.environ[f"FLAGRANK_APPCONFIG_{name}"] for name in ("APPLICATION", "ENVIRONMENT", "PROFILE")))
_appconfig = boto3.client("appconfig", config=_PATIENT)
_cloudwatch = boto3.client("cloudwatch", config=_PATIENT)
_good_after_s = float(os.environ.get("FLAGRANK_GOOD_AFTER_S", GOOD_AFTER_S))


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers with the response to the alarm. A failure is raised, so that Lambda tries again, and an alarm fires."""
    alarm, control = _alarm(event), _control()
    try:
        response = respond(alarm, control, _good_after_s) if alarm else None
    finally:
        # every event ends with the monitor enabled, whatever an earlier attempt left behind
        control.rearm()
    if alarm is None or response is None:
        return {"lowered": False, "why": "the alarm does not fire"}
    guard_emf.emit(alarm, response)
    return asdict(response)


def _control() -> AppConfigRolloutControl:
    # made for one event: its time begins now
    name = os.environ.get("FLAGRANK_MONITOR_ALARM")
    monitor = AlarmActions(_cloudwatch, name) if name else None
    strategy = os.environ["FLAGRANK_APPCONFIG_STRATEGY"]
    return AppConfigRolloutControl(_appconfig, _IDS, GUARD_PATIENCE, strategy=strategy, monitor=monitor)


def _alarm(event: dict[str, Any]) -> Alarm | None:
    if event.get("source") != "aws.events":
        return read_alarm(event)
    name = os.environ["FLAGRANK_ALARM"]
    since = firing_since(_cloudwatch, name)
    return still_firing(name, since, dt.datetime.now(dt.UTC)) if since else None
