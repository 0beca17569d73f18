"""Load by HTTP/2, from `h2load` of nghttp2: many requests at a time on each connection.

    python -m benchmarks.streams PORT PATH CONNECTIONS SECONDS STREAMS TLS

prints one line of JSON, as the other generators do.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.client import percentile


def run(port: int, path: str, connections: int, seconds: float, streams: int, tls: bool) -> dict[str, float]:
    """Put the load on; what came of it, as `load.Result` has it.

    :raises RuntimeError: h2load failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "requests"
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
        command = ["h2load", f"-c{connections}", f"-m{streams}", f"-D{max(1, round(seconds))}", f"--log-file={log}", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
        if done.returncode:
            raise RuntimeError(f"h2load failed with {done.returncode}: {done.stderr.strip()[-300:]}")
        times = Counter(int(line.split("\t")[2]) for line in log.read_text("ascii").splitlines())
    requests = re.search(r"requests: .* (\d+) done, (\d+) succeeded", done.stdout)
    took = re.search(r"finished in ([\d.]+)(m?s)", done.stdout)
    if requests is None or took is None:
        raise RuntimeError(f"h2load said nothing of its requests: {done.stdout[-300:]}")
    return {
        "requests": int(requests[1]),
        "seconds": float(took[1]) / (1000 if took[2] == "ms" else 1),
        "p50_us": percentile(times, 0.5),
        "p99_us": percentile(times, 0.99),
        "errors": int(requests[1]) - int(requests[2]),
    }


if __name__ == "__main__":
    port, path, connections, seconds, streams, tls = sys.argv[1:]
    print(json.dumps(run(int(port), path, int(connections), float(seconds), int(streams), tls == "tls")))
