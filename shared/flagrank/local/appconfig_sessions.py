"""AppConfig's data plane without its wire: sessions, and tokens that are good for one poll."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flagrank.local.appconfig_state import AppConfigState, required
from flagrank.local.rest_json import bad_request, not_found

TOKEN_LIFE_S = 24 * 3600
MIN_POLL_S, MAX_POLL_S = 15, 86_400
DEFAULT_POLL_S = 60


@dataclass(slots=True)
class Session:
    """One poller: what it follows, and the version that it was given last."""

    application_id: str
    environment_id: str
    profile_id: str
    poll_s: int
    given: int | None = None


@dataclass(slots=True)
class Sessions:
    """All pollers of an account."""

    state: AppConfigState
    _tokens: dict[str, tuple[Session, float]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def start(self, body: Mapping[str, Any]) -> str:
        """A session's first token; identifiers are ids or names."""
        state = self.state
        application_id = _find(state.applications.values(), required(body, "ApplicationIdentifier"), "Application")
        environments = _of(application_id, state.environments)
        environment_id = _find(environments, required(body, "EnvironmentIdentifier"), "Environment")
        profiles = _of(application_id, state.profiles)
        profile_id = _find(profiles, required(body, "ConfigurationProfileIdentifier"), "ConfigurationProfile")
        poll_s = int(body.get("RequiredMinimumPollIntervalInSeconds", DEFAULT_POLL_S))
        if not MIN_POLL_S <= poll_s <= MAX_POLL_S:
            raise bad_request(f"RequiredMinimumPollIntervalInSeconds must be {MIN_POLL_S} to {MAX_POLL_S}")
        return self._token(Session(application_id, environment_id, profile_id, poll_s))

    def latest(self, token: str) -> tuple[Session, str, dict[str, Any] | None]:
        """The session, its next token, and the version in force, None where the session has it already."""
        session, expires_s = self._tokens.pop(token, (None, 0.0))
        if session is None or self.state.clock.now() >= expires_s:
            problem = {"InvalidParameters": {"ConfigurationToken": {"Problem": "Expired" if session else "Corrupted"}}}
            raise bad_request("the token is used or expired", Reason="InvalidParameters", Details=problem)
        deployments = self.state.deployments_of(session.application_id, session.environment_id)
        number = deployments.served(session.profile_id)
        versions = self.state.versions[session.application_id, session.profile_id]
        fresh = None if session.given == number else versions[number - 1]
        session.given = number
        return session, self._token(session), fresh

    def _token(self, session: Session) -> str:
        token = f"token-{next(self._numbers):08d}"
        self._tokens[token] = (session, self.state.clock.now() + TOKEN_LIFE_S)
        return token


def _of(application_id: str, table: Mapping[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for (owner, _), entry in table.items() if owner == application_id]


def _find(entries: Any, identifier: str, what: str) -> str:
    for entry in entries:
        if identifier in (entry["Id"], entry["Name"]):
            found: str = entry["Id"]
            return found
    raise not_found(what)
