"""The peer: PyTorch training torchvision's networks, driven line by line by training-speed.ts.

Reads one JSON command a line, answers one JSON object a line. `prepare` builds a network and a batch of
noise, `steps` trains on it and answers what each step took, `usage` tells memory and processor time.
"""

import json
import os
import resource
import sys
import time

import torch
import torchvision

THREADS = int(os.environ["OMP_NUM_THREADS"])
NETWORKS = {
    "alexnet": torchvision.models.alexnet,
    # As drq's: nothing is dropped.
    "mobilenet-v2": lambda **options: torchvision.models.mobilenet_v2(dropout=0.0, **options),
    "resnet18": torchvision.models.resnet18,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
}


class Training:
    """The published recipe's step: SGD with momentum and weight decay on the cross-entropy."""

    def __init__(self, setting):
        torch.manual_seed(0)
        channels_last = setting["layout"] == "channels-last"
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.bfloat16 = setting["precision"] == "bfloat16"
        network = NETWORKS[setting["architecture"]](num_classes=setting["classCount"])
        self.network = network.train().to(memory_format=layout)
        size, count = setting["sizePx"], setting["batchSize"]
        self.images = torch.randn(count, 3, size, size).contiguous(memory_format=layout)
        self.labels = torch.randint(0, setting["classCount"], (count,))
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4
        )

    def step(self):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            loss = self.criterion(self.network(self.images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def time_steps(training, count):
    milliseconds, loss = [], None
    for _ in range(count):
        start = time.perf_counter()
        loss = training.step()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {"milliseconds": milliseconds, "loss": loss}


def usage():
    used = resource.getrusage(resource.RUSAGE_SELF)
    fields = {"VmHWM": used.ru_maxrss, "VmRSS": used.ru_maxrss}
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status", encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name in fields:
                    fields[name] = int(value.split()[0])
    return {
        "peakBytes": fields["VmHWM"] * 1024,
        "residentBytes": fields["VmRSS"] * 1024,
        "cpuSeconds": used.ru_utime + used.ru_stime,
    }


def main():
    torch.set_num_threads(THREADS)
    training = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "prepare":
            training = Training(command)
            answer = {"version": torch.__version__}
        elif command["do"] == "steps":
            answer = time_steps(training, command["count"])
        else:
            answer = usage()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
