"""`metrics.jsonl`: rows come whole, wait for room, and are dropped in one step."""

import json

import numpy as np

from metarl_jax.training.metrics_file import MetricsFile, keep_rows_until, read_rows
from metarl_jax.training.metrics_row import MetricsRow
from support.full_disk import largest_file


def row(update, **metrics):
    return MetricsRow(update=update, env_steps=10 * update, metrics=metrics)


def line(update):
    """What a row is in the file."""
    return json.dumps(row(update).to_json()) + "\n"


def test_rows_wait_for_room_and_none_is_lost(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    assert metrics.append(row(1)) is None
    with largest_file(45):  # a row and a half
        assert "File too large" in str(metrics.append(row(2, loss=float("nan"))))
        assert "File too large" in str(metrics.append(row(3)))
        assert read_rows(path)[:1] == [row(1)]
    assert metrics.append(row(4)) is None
    metrics.close()
    found = read_rows(path)
    assert [found[0], *found[2:]] == [row(1), row(3), row(4)]
    assert found[1].update == 2 and np.isnan(found[1].metrics["loss"])
    assert '"loss": null' in path.read_text()


def test_waiting_rows_are_tried_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    with largest_file(5):
        assert metrics.append(row(1))
    assert metrics.write_waiting() is None
    metrics.close()
    assert read_rows(path) == [row(1)]


def test_a_process_that_writes_none_keeps_none():
    """Of several the first alone writes."""
    metrics = MetricsFile(None)
    assert metrics.append(row(1)) is None
    assert not metrics._since


def test_a_full_disk_does_not_keep_a_file_from_being_closed(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    with largest_file(5):
        assert metrics.append(row(1))
        metrics.close()


def test_rows_are_dropped_on_a_full_disk_too(tmp_path):
    """Resuming there must not fail: what is cut off needs no room."""
    path = tmp_path / "metrics.jsonl"
    rows = [row(number, loss=0.1 * number) for number in range(1, 9)]
    metrics = MetricsFile(path)
    for each in rows:
        metrics.append(each)
    metrics.close()
    with largest_file(5):
        keep_rows_until(path, 9)
        assert read_rows(path) == rows
        keep_rows_until(path, 4)
    assert read_rows(path) == rows[:4]


def test_rows_of_a_copy_by_hard_links_are_its_own(tmp_path):
    """As `cp -al` and rsync's snapshots make them: the original keeps all."""
    path, copy = tmp_path / "metrics.jsonl", tmp_path / "copy.jsonl"
    path.write_text("".join(map(line, (1, 2))))
    copy.hardlink_to(path)
    keep_rows_until(copy, 1)
    assert (read_rows(copy), len(read_rows(path))) == ([row(1)], 2)


def test_rows_of_another_hand_between_ours_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(3) + line(1))
    keep_rows_until(path, 2)
    assert path.read_text() == line(1)


def test_what_is_synchronised_has_reached_the_disk(tmp_path, monkeypatch):
    """With the rows that waited; and a disk that says so late is heard."""
    synced = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(read_rows(path)))
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    with largest_file(5):
        assert metrics.append(row(1))
        assert "File too large" in str(metrics.sync())
    assert metrics.sync() is None
    assert synced == [[row(1)]]

    def late(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", late)
    assert metrics.append(row(2)) is None
    assert "No space left" in str(metrics.sync())
    path.write_bytes(
        path.read_bytes()[: len(line(1))]
    )  # what it could not keep it drops, and tells it once
    monkeypatch.setattr("os.fsync", lambda file: None)
    assert metrics.sync() is None
    assert metrics.append(row(3)) is None
    assert read_rows(path) == [row(1), row(2), row(3)]
    assert MetricsFile(None).sync() is None


def test_rows_are_kept_until_an_update(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(line(1) + line(2) + '{"upd')
    keep_rows_until(path, 1)
    assert path.read_text() == line(1)
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]
