"""What holds for all tests."""

import os
import sys

# a container may forbid Python its compiled files, and each of the hundreds of processes that the tests start would
# compile boto3 and FastAPI anew: twice the time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# the matrices of tests are small: more threads of numpy, implicit and LightGBM spin while they wait for each other, and
# cost four times the CPU time. Set before any of them is imported
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
