"""What holds for all tests."""

import os
import sys

# a container may forbid Python its compiled files, and each of the hundreds of processes that the tests start would
# compile boto3 and FastAPI anew: twice the time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# the workers share the cores already; this has to be said before numpy is imported
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
