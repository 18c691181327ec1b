"""Reads a folder of event files as TensorBoard itself does and prints its scalars as one JSON line.

    python tensorboard_events.py FOLDER

Prints {tag: [[step, value, wall time], ...]}.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# 0: all scalars, not a sample of them.
accumulator = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
accumulator.Reload()
tags = accumulator.Tags()["scalars"]
print(
    json.dumps(
        {
            tag: [[event.step, event.value, event.wall_time] for event in accumulator.Scalars(tag)]
            for tag in tags
        }
    )
)
