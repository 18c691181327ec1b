"""Exports torchvision networks for test/peers/coverage.ts, by both of PyTorch's ONNX exporters.

Weights are random; batch-norm statistics come from real photographs, so that activations have the
sizes they have in trained networks. Needs torch, torchvision, onnx and onnxscript.

    python export_models.py OUTPUT_FOLDER IMAGE_FOLDER [NAME ...]
"""

import sys
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torchvision import transforms

NETWORKS = {
    "alexnet": 224,
    "mobilenet_v2": 224,
    "resnet18": 224,
    "resnet50": 224,
    "mobilenet_v3_large": 224,
    "efficientnet_b0": 224,
    "densenet121": 224,
    "inception_v3": 299,
}
IMAGE_COUNT = 16


def photographs(folder, size):
    prepare = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    paths = sorted(Path(folder).rglob("*.jpg"))
    step = max(1, len(paths) // IMAGE_COUNT)
    chosen = paths[::step][:IMAGE_COUNT]
    return torch.stack([prepare(Image.open(path).convert("RGB")) for path in chosen])


def network(name):
    torch.manual_seed(1)
    options = {"aux_logits": False, "init_weights": True} if name == "inception_v3" else {}
    return getattr(torchvision.models, name)(weights=None, **options)


def set_statistics(model, images):
    """Batch norm takes mean and variance of the photographs; dropout stays off."""
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # a plain average over batches
            module.train()
    with torch.no_grad():
        model(images)
    model.eval()


def main(output_folder, image_folder, names):
    output = Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    for name in names or NETWORKS:
        size = NETWORKS[name]
        model = network(name)
        set_statistics(model, photographs(image_folder, size))
        example = torch.zeros(2, 3, size, size)
        names_of = {"input_names": ["input"], "output_names": ["logits"]}
        axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
        path = output / f"{name}-torchscript.onnx"
        torch.onnx.export(
            model, (example,), str(path), dynamo=False, opset_version=17, dynamic_axes=axes, **names_of
        )
        print(path, flush=True)
        path = output / f"{name}-dynamo.onnx"
        batch = torch.export.Dim("batch")
        try:
            torch.onnx.export(
                model,
                (example,),
                str(path),
                dynamo=True,
                opset_version=18,
                dynamic_shapes=({0: batch},),
                external_data=True,
                verbose=False,
                **names_of,
            )
            print(path, flush=True)
        except Exception as error:  # the new exporter does not carry every network
            print(f"{path}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
