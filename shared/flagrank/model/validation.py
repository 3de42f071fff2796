"""The one check of a set: training, publishing, activating and serving take what passes here, and nothing else."""

from flagrank.model.artifacts import Manifest, Read, decode
from flagrank.model.factors import Factors


def validate(manifest: Manifest, read: Read) -> Factors:
    """The set's factors, decoded, checked and warm: no request over them can fail for what the files hold.

    `read` gives a file's bytes by name. Raises ArtifactError.
    """
    factors = decode(manifest, read)
    factors.warm()
    return factors
