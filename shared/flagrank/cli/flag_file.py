"""A flag document from a file."""

from pathlib import Path

from pydantic import ValidationError

from flagrank.errors import DataError
from flagrank.flags.document import FlagDocument, problem


def read_flag(path: Path) -> FlagDocument:
    """The document in a file; raises DataError that names the file, and the field that is invalid."""
    try:
        return FlagDocument.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(str(path), None, f"cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise DataError(str(path), None, problem(error)) from error
