"""The versions of one flag's document, as AppConfig's hosted configuration store has them."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flagrank.delivery.change_record import DESCRIPTION_CHARS, ChangeRecord
from flagrank.errors import ConfigurationError
from flagrank.flags.document import FlagDocument, read_document

# the largest page that AppConfig gives
PAGE = 50


@dataclass(frozen=True, slots=True)
class FlagIds:
    """The ids of the application, environment and configuration profile that a flag lives in."""

    application: str
    environment: str
    profile: str

    @property
    def of_environment(self) -> dict[str, str]:
        """What names the environment in a call."""
        return {"ApplicationId": self.application, "EnvironmentId": self.environment}

    @property
    def of_profile(self) -> dict[str, str]:
        """What names the profile in a call."""
        return {"ApplicationId": self.application, "ConfigurationProfileId": self.profile}


class AppConfigVersions:
    """Reads, lists and creates the versions of a flag. Raises botocore's errors."""

    def __init__(self, client: Any, ids: FlagIds) -> None:
        self._client = client
        self._ids = ids

    def latest(self) -> int:
        """The number of the newest version, 0 if there is none."""
        return max((version["VersionNumber"] for version in self._all()), default=0)

    def latest_description(self) -> str:
        """What the newest version says of itself."""
        newest: dict[str, Any] = max(self._all(), key=lambda version: version["VersionNumber"], default={})
        return newest.get("Description") or "no description"

    def document(self, version: str) -> FlagDocument:
        """The document of a version, by number or label.

        Raises ConfigurationError if there is no such version, or if this release cannot read it.
        """
        number = version if version.isdecimal() else self._number_of(version)
        content = self._content(number) if number.isdecimal() else None
        if content is None:
            raise ConfigurationError(f"no version {version!r}; see `flagrank rollout history`")
        return read_document(content, f"v{number}")

    def create(self, document: FlagDocument, record: ChangeRecord, latest: int) -> str:
        """Adds a version after `latest`, and gives its number. AppConfig refuses it if somebody else was faster."""
        wanted = {
            **self._ids.of_profile,
            "Description": _header(record.render()),
            "Content": document.model_dump_json(by_alias=True, indent=2).encode(),
            "ContentType": "application/json",
            **({"LatestVersionNumber": latest} if latest else {}),
        }
        create, label = self._client.create_hosted_configuration_version, f"v{latest + 1}"
        try:
            created = create(**wanted, VersionLabel=label)
        except self._client.exceptions.ConflictException:
            if latest != self.latest():
                raise
            # somebody gave this label to an earlier version by hand, which must not keep `off` from working
            created = create(**wanted, VersionLabel=f"{label}-flagrank")
        return str(created["VersionNumber"])

    def _number_of(self, label: str) -> str:
        labelled = (str(version["VersionNumber"]) for version in self._all() if version.get("VersionLabel") == label)
        return next(labelled, label.removeprefix("v"))

    def _content(self, number: str) -> bytes | None:
        try:
            hosted = self._client.get_hosted_configuration_version(**self._ids.of_profile, VersionNumber=int(number))
        except self._client.exceptions.ResourceNotFoundException:
            return None
        content: bytes = hosted["Content"].read()
        return content

    def _all(self) -> Iterator[dict[str, Any]]:
        # AWS documents no order, so finding the newest takes all pages; a profile holds few versions
        return items(self._client.list_hosted_configuration_versions, **self._ids.of_profile, MaxResults=PAGE)


def items(listing: Any, **scope: Any) -> Iterator[dict[str, Any]]:
    """Every item of a listing. Each page is read when it is needed."""
    token: dict[str, str] = {}
    while True:
        page = listing(**scope, **token)
        yield from page["Items"]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _header(text: str) -> str:
    # a version's description travels as an HTTP header: letters lose their accents, and what ASCII lacks becomes `?`
    plain = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return "".join(char if " " <= char <= "~" else "?" for char in plain)[:DESCRIPTION_CHARS].strip()
