"""Loads drq's weights into torchvision's networks as a user would, and saves them again.

    python exchange_weights.py SETTINGS.json    prints one JSON line: the logits of each case

SETTINGS.json: cases of name, architecture, variant, widthMultiplier, classCount, imageSize, weights
(safetensors), images (float32 [N, 3, H, W]), saved (where to torch.save the state_dict, as a checkpoint of
DataParallel when isCheckpoint); views and unsafe: where to save tensors of all kinds (.pth and
.safetensors), and a pickle that would run a command.
"""

import json
import os
import sys

import numpy
import torch
import torchvision
from safetensors.torch import load_file, save_file

with open(sys.argv[1], encoding="utf-8") as file:
    SETTINGS = json.load(file)


def network(case):
    count = case["classCount"]
    if case["architecture"] == "mobilenet-v2":
        return torchvision.models.mobilenet_v2(
            num_classes=count, width_mult=case["widthMultiplier"]
        )
    model = getattr(torchvision.models, case["architecture"])(num_classes=count)
    if case["architecture"] == "alexnet" and case["variant"] == "paper":
        model.features[0] = torch.nn.Conv2d(3, 64, 11, 4)
        model.avgpool = torch.nn.Identity()
        model.classifier[1] = torch.nn.Linear(6400, 4096)
    return model


def logits_of(case):
    model = network(case).eval()
    model.load_state_dict(load_file(case["weights"]), strict=True)
    size = case["imageSize"]
    images = numpy.fromfile(case["images"], numpy.float32).reshape(-1, 3, size, size)
    with torch.no_grad():
        logits = model(torch.from_numpy(images))
    if case["isCheckpoint"]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        state = torch.nn.DataParallel(model).state_dict()
        checkpoint = {"epoch": 3, "state_dict": state, "optimizer": optimizer.state_dict()}
        torch.save(checkpoint, case["saved"])
    else:
        torch.save(model.state_dict(), case["saved"])
    return logits.flatten().tolist()


def save_views(path):
    """Tensors whose elements do not stand in order, and floats of all widths."""
    torch.manual_seed(0)
    base = torch.randn(4, 6, 5, 3)
    views = {
        "whole": base,
        "channels_last": base.to(memory_format=torch.channels_last),
        "transposed": base.transpose(0, 2),
        "slice": base[1:3, ::2, 2],
        "scalar": base[0, 0, 0, 0],
        "empty": torch.zeros(0, 3),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double() / 3,
        "parameter": torch.nn.Parameter(base * 2),
        "counter": torch.tensor(5),
    }
    torch.save(views, path + ".pth")
    floats = {name: view.detach().float().clone(memory_format=torch.contiguous_format)
              for name, view in views.items() if view.is_floating_point()}
    save_file(floats, path + ".safetensors")


class Unsafe:
    def __reduce__(self):
        return os.system, ("touch '" + SETTINGS["unsafe"] + ".executed'",)


save_views(SETTINGS["views"])
torch.save({"weight": torch.zeros(1), "more": Unsafe()}, SETTINGS["unsafe"])
print(json.dumps({case["name"]: logits_of(case) for case in SETTINGS["cases"]}))
