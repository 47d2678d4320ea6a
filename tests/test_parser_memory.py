"""What a process that trains asks of the system."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TOUCHED = """
import re
from parser.memory import keep_freed_memory
kept = keep_freed_memory() and keep_freed_memory()
blocks = [bytearray(1 << 20) for _ in range(64)]
print(kept, *re.findall(r"(?:Rss|AnonHugePages): +([0-9]+)", open("/proc/self/smaps_rollup").read()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is asked for is Linux's")
def test_memory_is_kept_in_huge_pages_and_none_is_taken_before_it_is_used():
    said = subprocess.run([sys.executable, "-c", TOUCHED], capture_output=True, text=True, check=True).stdout.split()
    if said[0] != "True":
        pytest.skip("no glibc")
    resident, huge = map(int, said[1:])
    assert resident < 200 << 10
    if MODE.exists() and re.search(r"\[(always|madvise)\]", MODE.read_text()):
        assert huge > 32 << 10
