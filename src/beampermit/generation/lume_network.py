"""The layers that are imported, and the text of `network.py` that has them. The worker reads this file: no imports."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LAYERS = {
    "torch.nn.modules.activation.CELU": ("alpha",),
    "torch.nn.modules.activation.ELU": ("alpha",),
    "torch.nn.modules.activation.GELU": ("approximate",),
    "torch.nn.modules.activation.Hardtanh": ("min_val", "max_val"),
    "torch.nn.modules.activation.LeakyReLU": ("negative_slope",),
    "torch.nn.modules.activation.LogSigmoid": (),
    "torch.nn.modules.activation.Mish": (),
    "torch.nn.modules.activation.ReLU": (),
    "torch.nn.modules.activation.ReLU6": (),
    "torch.nn.modules.activation.SELU": (),
    "torch.nn.modules.activation.Sigmoid": (),
    "torch.nn.modules.activation.SiLU": (),
    "torch.nn.modules.activation.Softplus": ("beta", "threshold"),
    "torch.nn.modules.activation.Softsign": (),
    "torch.nn.modules.activation.Tanh": (),
    "torch.nn.modules.batchnorm.BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "torch.nn.modules.container.Sequential": (),
    "torch.nn.modules.dropout.AlphaDropout": ("p",),
    "torch.nn.modules.dropout.Dropout": ("p",),
    "torch.nn.modules.flatten.Flatten": ("start_dim", "end_dim"),
    "torch.nn.modules.linear.Identity": (),
    "torch.nn.modules.linear.Linear": ("in_features", "out_features"),
    "torch.nn.modules.normalization.LayerNorm": ("normalized_shape", "eps", "elementwise_affine"),
}
"""Class of a layer, as a pickle names it -> the attributes that are arguments of its constructor."""
SEQUENTIAL, LINEAR, NORM = "Sequential", "Linear", "LayerNorm"
TRANSFORMERS = ("AffineInputTransform", "Normalize", "InputStandardize")
TRANSFORMER_MODULE = "botorch.models.transforms.input"
HEAD = '''"""The layers of the imported network, from {origin}. To train another one, change them.

Its weights are imported/weights.safetensors; once layers have changed, `train.start` in params.yaml must be `new`.
"""

from __future__ import annotations

{imports}from torch import nn


def network() -> nn.Module:
    """The layers without weights: scaled inputs, shape (rows, {inputs}) -> scaled outputs, shape (rows, {outputs})."""
    return {layers}
'''


def network_text(layer: Mapping[str, Any], origin: str, inputs: int, outputs: int) -> str:
    """The text of `network.py`: `layer` has `kind`, `arguments` and, for a Sequential, `layers` by name.

    `origin` is the name of a file, of which only what cannot end a docstring is shown.
    """
    layers = _text(layer, 4)
    origin = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in origin)
    imports = "from collections import OrderedDict\n\n" if "OrderedDict" in layers else ""
    return HEAD.format(origin=origin, imports=imports, inputs=inputs, outputs=outputs, layers=layers)


def _text(layer: Mapping[str, Any], indent: int) -> str:
    """A layer as code whose first line is indented already; the others by `indent` spaces and more."""
    if layer["kind"] != SEQUENTIAL:
        arguments = ", ".join(_argument(name, value) for name, value in layer["arguments"].items())
        return f"nn.{layer['kind']}({arguments})"
    space, layers = " " * (indent + 4), layer["layers"]
    if not layers:
        return "nn.Sequential()"
    if list(layers) == [str(number) for number in range(len(layers))]:
        lines = [f"{space}{_text(inner, indent + 4)},\n" for inner in layers.values()]
        return f"nn.Sequential(\n{''.join(lines)}{' ' * indent})"
    lines = [_named(name, inner, indent + 12) for name, inner in layers.items()]
    return f"nn.Sequential(\n{space}OrderedDict(\n{space}    [\n{''.join(lines)}{space}    ]\n{space})\n{' ' * indent})"


def _named(name: str, layer: Mapping[str, Any], indent: int) -> str:
    space = " " * indent
    if not layer.get("layers"):
        return f'{space}("{name}", {_text(layer, indent)}),\n'
    return f'{space}(\n{space}    "{name}",\n{space}    {_text(layer, indent + 4)},\n{space}),\n'


def _argument(name: str, value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(tuple(value) if isinstance(value, list) else value)
    return text if name in ("in_features", "out_features", "num_features", "normalized_shape") else f"{name}={text}"
