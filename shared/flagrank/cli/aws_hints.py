"""What to do about a failure of AWS that is one of the shell's settings."""

REGION = "set AWS_REGION, or AWS_PROFILE to a profile that has a region"
CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in again"
LOCAL = "or use --local for the local cloud (`flagrank local`)"

HINTS = {
    "NoRegionError": REGION,
    "InvalidRegionError": REGION,
    "NoCredentialsError": CREDENTIALS,
    "PartialCredentialsError": CREDENTIALS,
    "ProfileNotFound": CREDENTIALS,
    "CredentialRetrievalError": CREDENTIALS,
    "TokenRetrievalError": CREDENTIALS,
    "SSOTokenLoadError": CREDENTIALS,
    "UnauthorizedSSOTokenError": CREDENTIALS,
    "ExpiredToken": CREDENTIALS,
    "ExpiredTokenException": CREDENTIALS,
    "InvalidClientTokenId": CREDENTIALS,
    "UnrecognizedClientException": CREDENTIALS,
    "SignatureDoesNotMatch": CREDENTIALS,
    "EndpointConnectionError": "check AWS_REGION, AWS_ENDPOINT_URL and the network",
}


def hint(error: BaseException) -> str | None:
    """What to set, for an error whose cause is botocore's; None for any other."""
    cause = error.__cause__
    response = getattr(cause, "response", None) or {}
    code = response.get("Error", {}).get("Code", "") or type(cause).__name__
    return f"{HINTS[code]}, {LOCAL}" if code in HINTS else None
