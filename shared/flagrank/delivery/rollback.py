"""The ways down: off, whatever stands in the way, and back to a version that was good (infra/decisions/0051)."""

import functools
from collections.abc import Callable, Iterable

from flagrank.delivery.deployments import UNDONE, DeployedFlag, Deployment, RolloutControl
from flagrank.errors import ConfigurationError, RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, raises_exposure

ATTEMPTS = 5


def switch_off(
    control: RolloutControl, *, actor: str, reason: str, since: DeployedFlag | None = None
) -> Deployment | None:
    """Has everyone get the baseline, whatever else is in flight; None if they did already.

    `since` is what the caller saw (None: look now). Looks again whenever somebody was faster. Raises RolloutRefused if
    others keep changing the flag meanwhile or nothing was ever deployed, and CloudError where AWS does not answer, with
    the flag perhaps off: to repeat it is safe.
    """
    refused = RolloutRefused("never tried")
    for _ in range(ATTEMPTS):
        deployed, since = since or control.deployed(), None
        if is_off(deployed):
            return None
        off = switched_off(control, deployed)
        try:
            return control.deploy(off, actor=actor, reason=reason, urgent=True, since=deployed)
        except RolloutRefused as error:
            refused = error
    raise refused


def is_off(deployed: DeployedFlag) -> bool:
    """Whether nobody is treated, and nothing in flight is still about to change who is."""
    moving = deployed.in_flight is not None and deployed.in_flight.state != "BAKING"
    return deployed.document is not None and not deployed.document.enabled and not moving


def switched_off(control: RolloutControl, deployed: DeployedFlag) -> FlagDocument:
    """The document in force, switched off: the newest one that is readable where that one is not.

    Raises RolloutRefused if nothing was ever deployed.
    """
    if deployed.deployment is None:
        raise RolloutRefused("nothing is deployed yet, so everyone gets the baseline")
    document = deployed.document
    if document is None:
        read = (_readable(control.document, entry.version) for entry in control.deployments())
        document = next((document for document in read if document is not None), FlagDocument())
    return document.model_copy(update={"enabled": False})


def rollback_target(
    newest_first: Iterable[Deployment], document_of: Callable[[str], FlagDocument]
) -> tuple[Deployment, FlagDocument] | None:
    """The newest deployment before the one in force that nobody ever retreated from, and that raises no exposure.

    A retreat lowers exposure or puts an earlier version back. What it left stays bad, even if the retreat was undone,
    and so does a version that was undone itself: so going back twice goes back twice. `document_of` is asked for one
    version after the other, and may raise ConfigurationError for any that cannot be read.
    """
    document = functools.cache(functools.partial(_readable, document_of))
    bad: set[str] = set()
    current: Deployment | None = None
    served: FlagDocument | None = None
    followers: list[Deployment] = []
    for entry in newest_first:
        if entry.state in UNDONE:
            bad.add(entry.version)
            followers.append(entry)
            continue
        found = document(entry.version)
        # environments that cannot read the document in force keep the newest that they can
        served = served or found
        if current is None:
            current = entry
            bad.add(entry.version)
            if found is not None and exposure(found) == 0:
                return None
        if any(_retreats(entry, follower, document) for follower in followers):
            bad.add(entry.version)
        followers = [entry]
        if found is None or served is None or entry.version in bad:
            continue
        if found != document(current.version) and not raises_exposure(served, found):
            return entry, found
    return None


def _retreats(left: Deployment, follower: Deployment, document: Callable[[str], FlagDocument | None]) -> bool:
    before, after = document(left.version), document(follower.version)
    versions = int(follower.version), int(left.version)
    if before is None or after is None:
        return versions[0] < versions[1]
    return (exposure(after), versions[0]) < (exposure(before), versions[1])


def _readable(document_of: Callable[[str], FlagDocument], version: str) -> FlagDocument | None:
    try:
        return document_of(version)
    except ConfigurationError:
        return None
