"""What training takes, files to artifacts, step by step, on a shop of 20,000 items."""

import csv
import os
import time
from dataclasses import astuple
from pathlib import Path

from flagrank.benchmarks.large_shop import large_shop
from flagrank.cli.train import train_into
from flagrank.offline.data.interactions import Dataset
from flagrank.offline.data.sources import read_dataset
from flagrank.offline.training.two_stage import TrainingPlan

USERS, ITEMS, INTERACTIONS = 5_000, 20_000, 316_000
LIMIT_CPU_S = 120.0


def written(dataset: Dataset, folder: Path) -> Path:
    """The interactions and items as the CSV files that `flagrank train --data` reads."""
    interactions = dataset.interactions
    columns = (interactions.users, interactions.items, interactions.timestamps)
    with (folder / "interactions.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["user_id", "item_id", "timestamp"])
        lines.writerows(zip(*(column.tolist() for column in columns), strict=True))
    with (folder / "items.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["item_id", "title", "category", "description"])
        lines.writerows((item_id, *astuple(item)) for item_id, item in dataset.items.items())
    return folder / "interactions.csv"


def test_training_a_large_shop(tmp_path: Path) -> None:
    """Both stages in under two minutes of CPU, which is a minute of two cores."""
    data = written(large_shop(USERS, ITEMS, INTERACTIONS), tmp_path)
    started, cpu_before = time.perf_counter(), sum(os.times()[:4])
    trained, metrics = train_into(tmp_path / "set", read_dataset(str(data.parent)), TrainingPlan())
    elapsed_s, cpu_s = time.perf_counter() - started, sum(os.times()[:4]) - cpu_before
    print(f"{elapsed_s:.1f} s, {cpu_s:.1f} s of CPU, load {os.getloadavg()[0]:.1f}, {metrics['fold_held_out']}")
    assert len(trained.item_ids) == ITEMS
    assert trained.stage2 is not None
    assert cpu_s < LIMIT_CPU_S
