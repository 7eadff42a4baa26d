from __future__ import annotations

import json

from bench.faults.__main__ import document, table, verdict
from bench.faults.rows import ROWS, Finding

RESULTS = [
    (ROWS[0], "tinfront", Finding(True, "20 kills, 3411 answered", {"kills": 20})),
    (ROWS[0], "nginx + gunicorn", Finding(False, "11 of 502")),
    (ROWS[1], "tinfront", Finding(None, "not supported: why")),
]


def test_a_verdict_is_a_word() -> None:
    assert [verdict(finding) for *_, finding in RESULTS] == ["reached", "MISSED", "-"]


def test_the_table_has_a_block_for_each_fault() -> None:
    assert table(RESULTS).splitlines() == [
        f"{ROWS[0].title}: {ROWS[0].goal}",
        "  tinfront          reached  20 kills, 3411 answered",
        "  nginx + gunicorn  MISSED   11 of 502",
        f"{ROWS[1].title}: {ROWS[1].goal}",
        "  tinfront          -        not supported: why",
    ]


def test_the_document_has_the_numbers() -> None:
    told = json.loads(json.dumps(document(RESULTS, 20.0)))
    assert told["findings"][0]["numbers"] == {"kills": 20}
    assert [each["reached"] for each in told["findings"]] == [True, False, None]
    assert {"date", "seconds", "machine", "versions"} <= set(told)
