"""`python3.13 -m layer.build ARCHITECTURE FOLDER`, in `shared/`: what `sam build` runs for the layer.

Installs `requirements.txt` by hash for the Lambda's machine, adds the `flagrank` package, and takes out what no
function reads. Everything is compiled here: a Lambda cannot write what it compiles, and would compile at every start.
"""

import compileall
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

from layer.trim_models import trim_models

HERE = Path(__file__).parent
SHARED = HERE.parent
PYTHON = "3.13"
# SAM may run in a virtual environment of its own, in which there is no pip
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python{PYTHON}"
# where Lambda unpacks a layer: the path in a traceback
UNPACKED = "/opt/python"
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
# Amazon Linux 2023, on which Lambda runs Python 3.13, has glibc 2.34
GLIBC_MINORS = range(34, 16, -1)
# the commands, training and the local cloud
NOT_SERVED = ("cli", "local", "offline", "__pycache__")
# tests of the packages, what only compilers and type checkers read, and what serves features that no function uses
UNREAD = (
    *("bin", "**/tests", "**/*.pyi", "**/*.pxd", "**/*.h", "**/*.a", "**/*.dist-info/sboms", "numpy/f2py"),
    # numpy's own tests alone import it
    *("numpy/_core/_simd.*", "boto3/data", "boto3/examples", "aws_lambda_powertools/event_handler"),
)


def main(architecture: str, artifacts: str) -> None:
    """Fills `artifacts`/python; raises CalledProcessError where pip does, which prints why."""
    folder = Path(artifacts) / "python"
    install(folder, MACHINES[architecture])
    shutil.copytree(SHARED / "flagrank", folder / "flagrank", ignore=shutil.ignore_patterns(*NOT_SERVED))
    trim_models(folder / "botocore" / "data", json.loads((HERE / "operations.json").read_text()))
    remove_unread(folder)
    compile_all(folder)


def install(folder: Path, machine: str) -> None:
    """The wheels of `requirements.txt` for Lambda's Python on this machine, whatever machine builds them."""
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS] + [f"manylinux2014_{machine}"]
    command = [str(BASE_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--require-hashes", "--no-deps", "--requirement", str(SHARED / "requirements.txt")]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", PYTHON]
    command += [f"--platform={name}" for name in platforms]
    subprocess.run([*command, "--target", str(folder)], check=True)


def remove_unread(folder: Path) -> None:
    """Removes what no function reads."""
    for pattern in UNREAD:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def compile_all(folder: Path) -> None:
    """Compiles every module, never to be checked against its source: a layer is read-only."""
    compileall.compile_dir(
        folder,
        maxlevels=20,
        quiet=2,
        stripdir=str(folder),
        prependdir=UNPACKED,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    if platform.python_version_tuple()[:2] != tuple(PYTHON.split(".")):
        sys.exit(f"the layer is compiled for Python {PYTHON}, and this is {platform.python_version()}")
    main(*sys.argv[1:])
