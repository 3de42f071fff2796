"""What every FlagSource promises."""

from typing import Protocol

import pytest

from flagrank.adapters.appconfig_flags import AppConfigFlagSource
from flagrank.adapters.in_memory import InMemoryFlagSource, ManualClock
from flagrank.flags.document import FlagDocument
from flagrank.ports import FlagSource
from tests.adapters.loopback import AppConfigWire, client, failure

POLL_S = 15
WAIT_MS = 5000.0
ON = FlagDocument(enabled=True, percent=5)
WIDER = FlagDocument(enabled=True, percent=50)


class Console(Protocol):
    """A source, and the operator's side of it."""

    @property
    def source(self) -> FlagSource:
        """The source under test."""

    def deploy(self, document: FlagDocument, version: str) -> None:
        """Puts a document into force, and lets the poll interval pass."""

    def break_off(self) -> None:
        """Makes the flag unreadable for longer than it may be without being stale."""


class InMemoryConsole:
    def __init__(self) -> None:
        self.source = InMemoryFlagSource()

    def deploy(self, document: FlagDocument, version: str) -> None:
        self.source.document, self.source.version = document, version

    def break_off(self) -> None:
        self.source.stale = True


class AppConfigConsole:
    def __init__(self, wire: AppConfigWire) -> None:
        self._wire, self._clock = wire, ManualClock()
        self.source = AppConfigFlagSource(
            client("appconfigdata", wire.server.url),
            application="flagrank",
            environment="test",
            profile="rerank",
            clock=self._clock,
            poll_s=POLL_S,
        )

    def deploy(self, document: FlagDocument, version: str) -> None:
        self._wire.deploy(document.model_dump_json(by_alias=True).encode(), version)
        self._clock.advance(POLL_S)

    def break_off(self) -> None:
        self._wire.trouble = failure("InternalServerException", 500)
        self._clock.advance(2 * POLL_S + 1)


@pytest.fixture(params=["in_memory", "appconfig"])
def console(request: pytest.FixtureRequest) -> Console:
    if request.param == "in_memory":
        return InMemoryConsole()
    return AppConfigConsole(request.getfixturevalue("wire"))


def test_nothing_deployed_is_no_document(console: Console) -> None:
    """A flag that was never configured is neither a document nor an outage."""
    state = console.source.current(WAIT_MS)
    assert (state.document, state.version, state.stale) == (None, None, False)


def test_the_deployed_document_is_in_force_under_its_version(console: Console) -> None:
    """Document and version arrive together."""
    console.deploy(ON, "v1")
    state = console.source.current(WAIT_MS)
    assert (state.document, state.version, state.stale) == (ON, "v1", False)


def test_a_flip_arrives_within_the_poll_interval(console: Console) -> None:
    """The newer document replaces the older one."""
    console.deploy(ON, "v1")
    console.source.current(WAIT_MS)
    console.deploy(WIDER, "v2")
    state = console.source.current(WAIT_MS)
    assert (state.document, state.version) == (WIDER, "v2")


def test_an_outage_keeps_the_last_good_document_and_says_that_it_is_stale(console: Console) -> None:
    """An outage is a state, never an exception."""
    console.deploy(ON, "v1")
    console.source.current(WAIT_MS)
    console.break_off()
    state = console.source.current(WAIT_MS)
    assert (state.document, state.version, state.stale) == (ON, "v1", True)
