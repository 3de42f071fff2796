"""The ways to lower exposure at once: off, and back to a version that was good (infra/decisions/0051)."""

import functools
from collections.abc import Callable, Iterable

from flagrank.delivery.change_record import ChangeRecord
from flagrank.delivery.deployments import DeployedFlag, Deployment, RolloutControl, readable
from flagrank.errors import RolloutRefused
from flagrank.flags.document import FlagDocument
from flagrank.flags.exposure import exposure, raises_exposure

ATTEMPTS = 5


def switch_off(
    control: RolloutControl, record: ChangeRecord, *, since: DeployedFlag | None = None
) -> Deployment | None:
    """Gives everyone the baseline, whatever else is in flight; None if everyone has it already.

    `since` is what the caller has read, by default what is in force now. Reads again whenever somebody else was faster.
    Raises RolloutRefused if others keep changing the flag, or if nothing was ever deployed, and CloudError if AWS does
    not answer. After a CloudError the flag may be off, and repeating the call is safe.
    """
    refused = RolloutRefused("never tried")
    for _ in range(ATTEMPTS):
        deployed, since = since or control.deployed(), None
        if is_off(deployed):
            return None
        off = switched_off(control, deployed)
        try:
            return control.deploy(off, record, urgent=True, since=deployed)
        except RolloutRefused as error:
            refused = error
    raise refused


def is_off(deployed: DeployedFlag) -> bool:
    """Whether nobody is treated, and nothing in flight is about to change that."""
    busy = deployed.in_flight
    is_moving = busy is not None and busy.state != "BAKING"
    return deployed.document is not None and not deployed.document.enabled and not is_moving


def switched_off(control: RolloutControl, deployed: DeployedFlag) -> FlagDocument:
    """The document in force, switched off. If that cannot be read, the newest document that can be.

    Raises RolloutRefused if nothing was ever deployed.
    """
    if deployed.deployment is None:
        raise RolloutRefused("nothing is deployed yet, so everyone gets the baseline")
    document = deployed.document
    if document is None:
        read = (readable(control.document, entry.version) for entry in control.deployments())
        document = next((document for document in read if document is not None), FlagDocument())
    return document.model_copy(update={"enabled": False})


def rollback_target(
    newest_first: Iterable[Deployment], document_of: Callable[[str], FlagDocument]
) -> tuple[Deployment, FlagDocument] | None:
    """The newest deployment before the one in force that was never rolled back from, and that raises no exposure.

    To roll back is to lower exposure, or to put an earlier version into force. A version that was rolled back from
    stays bad, even if that rollback was undone, and so does a version that was undone itself. Two rollbacks in a row
    therefore go back twice. `document_of` reads one version at a time, and raises ConfigurationError for a version that
    cannot be read.
    """
    document = functools.cache(functools.partial(readable, document_of))
    bad: set[str] = set()
    current: Deployment | None = None
    served: FlagDocument | None = None
    followers: list[Deployment] = []
    for entry in newest_first:
        if entry.is_undone:
            bad.add(entry.version)
            followers.append(entry)
            continue
        read = document(entry.version)
        # environments that cannot read the document in force keep the newest document that they can
        served = served or read
        if current is None:
            current = entry
            bad.add(entry.version)
            if read is not None and exposure(read) == 0:
                return None
        if any(_is_rollback(entry, follower, document) for follower in followers):
            bad.add(entry.version)
        followers = [entry]
        if read is None or served is None or entry.version in bad:
            continue
        if read != document(current.version) and not raises_exposure(served, read):
            return entry, read
    return None


def _is_rollback(before: Deployment, after: Deployment, document: Callable[[str], FlagDocument | None]) -> bool:
    was, became = document(before.version), document(after.version)
    is_earlier_version = int(after.version) < int(before.version)
    if was is None or became is None or exposure(was) == exposure(became):
        return is_earlier_version
    return exposure(became) < exposure(was)
