"""AWS's own failures, in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from flagrank.errors import CloudError


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turns a botocore failure into CloudError with the service's own words."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CloudError(f"AWS: {error}") from error
