"""Choose the sample that ships with hitherto: ``python choose_sample.py LOG.jsonl.gz OUT.gz``.

The first fine of each sequence of activities, so that nothing that occurs is missing, then fines
at even distances through the rest of the log, so that years and frequencies are kept.
"""

import gzip
import json
import sys
from pathlib import Path

from hitherto.examples.traffic_fines import read_lines

SIZE = 2000


def choose(lines: list[str]) -> list[str]:
    firsts: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(lines):
        sequence = tuple(event["activity"] for event in json.loads(line)["events"])
        firsts.setdefault(sequence, number)
    chosen = set(firsts.values())
    rest = [number for number in range(len(lines)) if number not in chosen]
    wanted = SIZE - len(chosen)
    chosen.update(rest[step * len(rest) // wanted] for step in range(wanted))
    return [lines[number] for number in sorted(chosen)]


if __name__ == "__main__":
    log, out = map(Path, sys.argv[1:])
    sample = "".join(choose(list(read_lines(log))))
    # No time and no name inside: the same log makes the same file.
    out.write_bytes(gzip.compress(sample.encode(), compresslevel=9, mtime=0))
