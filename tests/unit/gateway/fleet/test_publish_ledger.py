"""The publish ledger in its file."""

from pathlib import Path

from gateway.fleet import PublishLedger, Sample


def test_ledger_file_keeps_samples_and_acceptance(tmp_path: Path) -> None:
    ledger = PublishLedger()
    entries = [ledger.add(f"ven-{n % 3}", n * 1000, Sample(n / 8 - 1, 8)) for n in range(10)]
    for entry in entries[:7]:
        ledger.accept(entry)
        ledger.accept(entry)
    ledger.write(tmp_path / "ledger.jsonl")
    again = PublishLedger.read(tmp_path / "ledger.jsonl")
    assert (len(again), again.published) == (len(ledger), ledger.published) == (7, 10)
    assert again.accepted_samples() == ledger.accepted_samples() != {}
    assert again.published_samples() == ledger.published_samples() != ledger.accepted_samples()
    assert again.accepted_samples()["ven-1"] == {1000: Sample(-0.875, 8), 4000: Sample(-0.5, 8)}
