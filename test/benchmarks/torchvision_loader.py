"""The peer: torchvision's DataLoader with Pillow, driven line by line by preprocessing.ts.

Reads one JSON command a line, answers one JSON object a line. `load` runs a DataLoader over a list of
files once, as a training script would, and answers how long it took; `reference` writes what Pillow
makes of each image, packed uint8 [H, W, 3], to one file.
"""

import json
import sys
import time

import torch
from PIL import Image
from torchvision import transforms

# The published scripts' transform.
TO_CROP = [transforms.Resize(224), transforms.CenterCrop(224)]
TO_TENSOR = [
    transforms.ToTensor(),
    transforms.Normalize((0.4346, 0.2213, 0.0783), (0.2439, 0.1311, 0.0703)),
]


class Images(torch.utils.data.Dataset):
    def __init__(self, paths):
        self.paths = paths
        self.transform = transforms.Compose(TO_CROP + TO_TENSOR)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        # As torchvision.datasets.folder.pil_loader.
        with open(self.paths[index], "rb") as file:
            return self.transform(Image.open(file).convert("RGB"))


def load(paths, workers):
    start = time.perf_counter()
    loader = torch.utils.data.DataLoader(Images(paths), batch_size=32, num_workers=workers)
    count = sum(len(batch) for batch in loader)
    return {"seconds": time.perf_counter() - start, "count": count}


def reference(paths, target):
    crop = transforms.Compose(TO_CROP)
    with open(target, "wb") as file:
        for path in paths:
            file.write(crop(Image.open(path).convert("RGB")).tobytes())
    return {"count": len(paths)}


def main():
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "load":
            answer = load(command["paths"], command["workers"])
        else:
            answer = reference(command["paths"], command["target"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
