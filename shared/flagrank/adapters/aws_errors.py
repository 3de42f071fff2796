"""AWS's own failures, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from flagrank.errors import CloudError


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turns a botocore failure into CloudError with the service's own words."""
    try:
        yield
    except Exception as error:
        # imported here, since a command that never came as far as AWS should not wait for its SDK
        if not type(error).__module__.startswith("botocore"):
            raise
        from botocore.exceptions import BotoCoreError, ClientError

        if not isinstance(error, BotoCoreError | ClientError):
            raise
        raise CloudError(f"AWS: {error}") from error
