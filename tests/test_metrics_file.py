"""`metrics.jsonl`: rows come whole, wait for room, and are dropped in one step."""

import pytest

from metarl_jax.metrics_file import MetricsFile, keep_rows_until, read_rows, write_whole


class FullDisk:
    """A file that takes half of what it is given and then is full."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_rows_wait_for_room_and_none_is_lost(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    assert metrics.append({"update": 1}) is None
    metrics._file = FullDisk(metrics._file)
    assert "No space left" in str(metrics.append({"update": 2, "loss": float("nan")}))
    assert "No space left" in str(metrics.append({"update": 3}))
    assert read_rows(path)[:1] == [{"update": 1}]
    metrics._file = metrics._file.file
    assert metrics.append({"update": 4}) is None
    metrics.close()
    expected = [{"update": 1}, {"update": 2, "loss": None}, {"update": 3}, {"update": 4}]
    assert read_rows(path) == expected


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    write_whole(path, "old")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_rows_are_kept_until_an_update(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"update": 1, "loss": 0.1}\n{"update": 2, "loss": 0.2}\n{"upd')
    keep_rows_until(path, 1)
    assert path.read_text() == '{"update": 1, "loss": 0.1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]
