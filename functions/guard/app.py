"""Lambda entry: an alarm arrives, or is still on when the clock strikes; exposure goes down (never up)."""

import datetime as dt
import os
from dataclasses import asdict
from typing import Any

import boto3
from botocore.config import Config

from flagrank.adapters.control import guard_emf
from flagrank.adapters.control.appconfig_guard import GuardedAppConfig
from flagrank.adapters.control.cloudwatch_alarms import on_since
from flagrank.delivery.guard import GOOD_AFTER_S, Alarm, read_alarm, respond, still_on

# nobody waits for the answer, so it is patient
_PATIENT = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 4, "mode": "standard"})
_IDS = {
    name: os.environ[f"FLAGRANK_APPCONFIG_{name.upper()}"]
    for name in ("application", "environment", "profile", "strategy")
}
_appconfig = boto3.client("appconfig", config=_PATIENT)
_cloudwatch = boto3.client("cloudwatch", config=_PATIENT)
_good_after_s = float(os.environ.get("FLAGRANK_GOOD_AFTER_S", GOOD_AFTER_S))


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answers with the outcome; a failure is raised, so that Lambda tries again and then says so."""
    alarm = _alarm(event)
    flag = GuardedAppConfig(_appconfig, _cloudwatch, _IDS, os.environ.get("FLAGRANK_MONITOR_ALARM"))
    try:
        outcome = respond(alarm, flag, _good_after_s) if alarm else None
    finally:
        # every event ends with the monitor armed, whatever an earlier try left behind
        flag.rearm()
    if alarm is None or outcome is None:
        return {"lowered": False, "why": "the alarm is not on"}
    guard_emf.emit(alarm, outcome)
    return asdict(outcome)


def _alarm(event: dict[str, Any]) -> Alarm | None:
    if event.get("source") != "aws.events":
        return read_alarm(event)
    watched = os.environ["FLAGRANK_ALARM"]
    since = on_since(_cloudwatch, watched)
    return still_on(watched, since, dt.datetime.now(dt.UTC)) if since else None
