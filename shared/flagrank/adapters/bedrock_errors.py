"""What a call to Bedrock can raise, as the leaves of RerankError (infra/decisions/0024)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    ParamValidationError,
    ReadTimeoutError,
)

from flagrank.errors import (
    FlagrankError,
    LLMRejected,
    LLMThrottled,
    LLMUnavailable,
    RerankError,
    RerankTimeout,
    UnknownRerankError,
)

ERRORS: Mapping[str, type[RerankError]] = {
    "AccessDeniedException": LLMRejected,
    "ResourceNotFoundException": LLMRejected,
    "ValidationException": LLMRejected,
    "ConflictException": LLMRejected,
    "ThrottlingException": LLMThrottled,
    "ServiceQuotaExceededException": LLMThrottled,
    "ModelNotReadyException": LLMThrottled,
    "ModelTimeoutException": RerankTimeout,
    "InternalServerException": LLMUnavailable,
    "ServiceUnavailableException": LLMUnavailable,
    "ModelErrorException": LLMUnavailable,
    "DependencyFailedException": LLMUnavailable,
    "BadGatewayException": LLMUnavailable,
    # Secrets Manager's, which has a provider's key
    "DecryptionFailure": LLMRejected,
    "InvalidParameterException": LLMRejected,
    "InvalidRequestException": LLMRejected,
}


@contextmanager
def translated() -> Iterator[None]:
    """Turns whatever a call raises into a leaf of RerankError, an unforeseen one into UnknownRerankError."""
    try:
        yield
    except FlagrankError:
        raise
    except (ReadTimeoutError, ConnectTimeoutError) as error:
        raise RerankTimeout(str(error)) from error
    except ClientError as error:
        raise _leaf(error)(str(error)) from error
    except ParamValidationError as error:
        raise LLMRejected(str(error)) from error
    except BotoCoreError as error:
        raise LLMUnavailable(str(error)) from error
    except Exception as error:
        raise UnknownRerankError(repr(error)) from error


def _leaf(error: ClientError) -> type[RerankError]:
    known = ERRORS.get(error.response.get("Error", {}).get("Code", ""))
    if known is not None:
        return known
    # credentials that are unknown, expired or unsigned are in no operation's model, only in the status
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (401, 403):
        return LLMRejected
    if status == 429:
        return LLMThrottled
    return LLMUnavailable if status >= 500 else UnknownRerankError
