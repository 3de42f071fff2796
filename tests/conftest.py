"""What holds for all tests."""

import os
import sys

# a container may forbid Python its compiled files, and each of the hundreds of processes that the tests start would
# compile boto3 and FastAPI anew: twice the time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
