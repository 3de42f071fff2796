"""`lexicon.json`, read strictly: a synonym that is no text would fail every query that holds the word."""

from pydantic import BaseModel, ConfigDict, ValidationError

from flagrank.errors import ArtifactError
from flagrank.model.factors import Lexicon


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    synonyms: dict[str, str]
    expansions: dict[str, tuple[str, ...]]


def read_lexicon(name: str, data: bytes | bytearray) -> Lexicon:
    """The lexicon in a file's bytes; raises ArtifactError naming the file."""
    try:
        document = _Document.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(f"{name}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
    return Lexicon(document.synonyms, document.expansions)
