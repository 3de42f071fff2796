"""Child processes that cannot be left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from flagrank.errors import CloudError

STOP_S = 5.0


class StandIn:
    """A stand-in service in a process of its own: started at once, reachable after `wait`."""

    def __init__(self, name: str, host: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self._host = host
        command = [sys.executable, "-m", "flagrank.local.serve", name, host, json.dumps(dict(options))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables_to_inherit(), start_new_session=True
        )
        self.url = ""

    def wait(self) -> None:
        """Waits until it accepts connections; raises CloudError if it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise CloudError(f"the stand-in for {self.name} did not start (exit code {self._process.returncode})")
        self.url = f"http://{self._host}:{json.loads(line)['port']}"

    def stop(self) -> None:
        """Ends it: by closing its input, by force if that does not help."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def variables_to_inherit() -> dict[str, str]:
    """This process's variables for a child, without the developer's own AWS settings, flag names and proxies."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "FLAGRANK_")) and not name.lower().endswith("_proxy")
    }
