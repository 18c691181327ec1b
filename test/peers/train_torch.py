"""Trains a small network on batches made by drq, in PyTorch, as the user of a paper's script would.

    python train_torch.py init SETTINGS.json    writes random initial weights as safetensors
    python train_torch.py train SETTINGS.json   prints one JSON line: the loss of each step

SETTINGS.json: classCount, sizePx, weights, images (float32 [N, H, W, 3]), labels,
batchSizes, stepsPerEpoch and recipe, in drq's names.
"""

import json
import sys

import numpy
import torch

COMMAND, PATH = sys.argv[1:3]
with open(PATH, encoding="utf-8") as file:
    SETTINGS = json.load(file)
RECIPE = SETTINGS["recipe"]


class Network(torch.nn.Module):
    """The layers of `smallNetwork` in training-curve.ts, under its names."""

    def __init__(self):
        super().__init__()
        self.c1 = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.b1 = torch.nn.BatchNorm2d(16)
        self.c2 = torch.nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.b2 = torch.nn.BatchNorm2d(16)
        self.c3 = torch.nn.Conv2d(16, 16, 1, bias=False)
        self.b3 = torch.nn.BatchNorm2d(16)
        self.pool = torch.nn.MaxPool2d(3, 2, 1)
        self.d1 = torch.nn.Linear(16, 32)
        self.d2 = torch.nn.Linear(32, SETTINGS["classCount"])

    def forward(self, x):
        x = torch.nn.functional.relu6(self.b1(self.c1(x)))
        y = torch.nn.functional.relu6(self.b2(self.c2(x)))
        x = torch.relu(x + self.b3(self.c3(y)))
        x = self.pool(x).mean((2, 3))
        return self.d2(torch.relu(self.d1(x)))


def network():
    torch.manual_seed(0)
    return Network()


def write_safetensors(state, path):
    header, parts, offset = {}, [], 0
    for name, tensor in state.items():
        if tensor.dtype != torch.float32:
            continue  # counters of batches
        data = tensor.contiguous().numpy().tobytes()
        shape = list(tensor.shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        parts.append(data)
    text = json.dumps(header).encode()
    with open(path, "wb") as target:
        target.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


def optimizer_of(model):
    rate, decay = RECIPE["learningRate"], RECIPE["weightDecay"]
    groups = [{"params": list(model.parameters())}]
    if RECIPE["weightDecayOn"] == "weights":
        # Of more than one dimension: neither biases nor batch norm.
        plain = [p for p in model.parameters() if p.dim() < 2]
        groups = [
            {"params": [p for p in model.parameters() if p.dim() > 1]},
            {"params": plain, "weight_decay": 0.0},
        ]
    if RECIPE["optimizer"] in ("sgd", "nesterov"):
        nesterov = RECIPE["optimizer"] == "nesterov"
        return torch.optim.SGD(
            groups, lr=rate, momentum=RECIPE["momentum"], weight_decay=decay, nesterov=nesterov
        )
    kind = torch.optim.AdamW if RECIPE["optimizer"] == "adamw" else torch.optim.Adam
    betas = (RECIPE["beta1"], RECIPE["beta2"])
    return kind(groups, lr=rate, betas=betas, eps=RECIPE["epsilon"], weight_decay=decay)


def scheduler_of(optimizer, step_count):
    """By steps; MultiStepLR counts epochs, so its milestones are taken to steps."""
    schedule, per_epoch = RECIPE["schedule"], SETTINGS["stepsPerEpoch"]
    if schedule["kind"] == "steps":
        milestones = [epoch * per_epoch for epoch in schedule["milestones"]]
        return torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, schedule["gamma"])
    if schedule["kind"] == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=step_count)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=RECIPE["learningRate"],
        total_steps=step_count,
        pct_start=schedule["riseFraction"],
        cycle_momentum=False,
    )


def class_weights():
    if RECIPE["classWeights"] == "none":
        return None
    labels = numpy.array(SETTINGS["trainLabels"])
    counts = numpy.bincount(labels, minlength=SETTINGS["classCount"])
    balanced = len(labels) / (SETTINGS["classCount"] * counts)
    chosen = balanced if RECIPE["classWeights"] == "balanced" else numpy.sqrt(balanced)
    return torch.tensor(chosen, dtype=torch.float32)


def train():
    torch.set_num_threads(2)
    model = network().train()
    size, labels = SETTINGS["sizePx"], torch.tensor(SETTINGS["labels"])
    images = numpy.fromfile(SETTINGS["images"], numpy.float32).reshape(-1, size, size, 3)
    criterion = torch.nn.CrossEntropyLoss(class_weights(), label_smoothing=RECIPE["labelSmoothing"])
    optimizer = optimizer_of(model)
    scheduler = scheduler_of(optimizer, len(SETTINGS["batchSizes"]))
    losses, start = [], 0
    for count in SETTINGS["batchSizes"]:
        batch = torch.from_numpy(images[start : start + count]).permute(0, 3, 1, 2).contiguous()
        loss = criterion(model(batch), labels[start : start + count])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        start += count
    print(json.dumps(losses))


if COMMAND == "init":
    write_safetensors(network().state_dict(), SETTINGS["weights"])
else:
    train()
