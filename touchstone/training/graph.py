"""A trained network as data: a list of named operators that is judged and served without its code.

Training traces the network with torch.export and writes the operators as graph.json beside the
weights. Whoever reads it runs them one by one: only operators of a fixed list, which compute on
tensors and numbers and reach nothing else. What cannot be written so keeps its code, which then
runs in a model host.

torch.export's own file is not used: loading it evaluates expressions and may unpickle.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from touchstone.training.evasion.network import summary_of
from touchstone.training.spec import ModelSpec
from trust_gates.errors import GateError
from trust_gates.network import Network, pooled

FILE = "graph.json"
_INPUT = "inputs"
CONSTANT = "/"
"""Begins the names of tensors that are neither parameters nor buffers of the network."""

_TOLERANCE = 1e-4
"""Of the largest logit: a graph whose answers differ by more is not the network."""

_MOST_NODES = 100_000
_LARGEST = 1 << 62

OPERATORS = frozenset(
    """
    _native_batch_norm_legit_no_training _unsafe_view
    abs acos adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d add addbmm addcdiv addcmul addmm
    addmv alias all alpha_dropout amax amin any arange argmax argmin asin atan atan2 avg_pool1d
    avg_pool2d avg_pool3d baddbmm batch_norm bitwise_and bitwise_not bitwise_or bmm broadcast_to
    cat ceil celu chunk clamp clamp_max clamp_min clone concat constant_pad_nd contiguous conv1d
    conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d cos cosh cumprod cumsum
    detach diagonal div dot dropout einsum elu embedding eq erf exp expand expand_as expm1 eye
    feature_dropout flatten flip floor floor_divide fmod full full_like gather ge gelu glu
    group_norm gt hardshrink hardsigmoid hardswish hardtanh index_select instance_norm isfinite
    isinf isnan layer_norm le leaky_relu lerp lift_fresh_copy linear log log10 log1p log2
    log_sigmoid log_softmax logical_and logical_not logical_or logical_xor logsumexp lt
    masked_fill matmul max max_pool1d max_pool2d max_pool3d maximum mean min minimum mish mm
    movedim mul mv narrow native_layer_norm ne neg new_full new_ones new_zeros norm numel ones
    ones_like outer pad permute pixel_shuffle pixel_unshuffle pow prelu prod reciprocal
    reflection_pad1d reflection_pad2d relu relu6 remainder repeat repeat_interleave
    replication_pad1d replication_pad2d reshape rms_norm roll round rsqrt rsub scalar_tensor
    scaled_dot_product_attention select selu sigmoid sign silu sin sinh slice softmax softplus
    softshrink split split_with_sizes sqrt square squeeze stack std std_mean sub sum swapaxes
    sym_size t tan tanh tile to topk transpose tril triu type_as unbind unflatten unfold
    unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_nearest1d upsample_nearest2d var
    var_mean view view_as where zeros zeros_like
    """.split()  # noqa: SIM905 (words read better than a list of 250 strings)
)
"""Names of PyTorch's `aten` operators that a graph may hold, in any overload that changes none of
its arguments."""


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of sizes: of words and lists it would make what fills the memory."""

    def checked(*given: Any) -> Any:
        if not all(isinstance(one, int | float) and abs(one) < _LARGEST for one in given):
            raise ValueError(f"got {function.__name__} of something else than sizes")
        return function(*given)

    return checked


def _item(given: Any, index: Any) -> Any:
    """One of an operator's several results."""
    if not isinstance(given, tuple | list) or not isinstance(index, int):
        raise ValueError("got an item of something else than several results")
    return given[index]


_NUMBERS: Mapping[str, Callable[..., Any]] = {
    name: _of_numbers(getattr(operator, name))
    for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ge", "le")
} | {"getitem": _item}
"""Python's own, on sizes and on what operators with several results give."""

_LISTENED = frozenset({"aten.linear.default", "aten.conv2d.default"})
"""What Linear and Conv2d put out."""

_LAYERS = ("linear", "conv", "batch_norm", "layer_norm", "group_norm", "embedding", "addmm", "mm")
"""Operators that are layers with weights; a factor or an offset of its own is none."""


_BROKEN = (
    RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError, MemoryError,
)  # fmt: skip
"""What operators raise that do not fit together."""


class GraphNetwork(Network):
    """A network of operators; its weights are those that the tree's safetensors hold."""

    def __init__(
        self,
        nodes: Sequence[_Node],
        answer: str,
        weights: Mapping[str, Tensor],
        learned: Sequence[str],
    ) -> None:
        super().__init__()
        self._nodes, self._answer = nodes, answer
        used = {name for node in nodes for name in node.weights}
        if absent := sorted(used - set(weights)):
            raise ValueError(f"the graph names weights that there are not: {absent[:3]}")
        # In the network's own order: what draws random weights draws the same for both.
        ordered = [*(name for name in learned if name in used), *sorted(used - set(learned))]
        self._names = {name: f"w{index}" for index, name in enumerate(ordered)}
        for name, own in self._names.items():
            if name in learned:
                self.register_parameter(own, torch.nn.Parameter(weights[name].clone()))
            else:
                self.register_buffer(own, weights[name].clone())
        self._last_uses = _last_uses(nodes, answer)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, K).

        Raises:
            GateError: the operators do not fit together.
        """
        found: Tensor = self._run(inputs)
        return found

    def summary(self, inputs: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def note(node: _Node, given: Sequence[Any], result: Any) -> None:
            if node.name in _LISTENED:
                seen.append(result)

        self._run(inputs, note)
        if not seen:
            raise ValueError("got a network without Conv2d or Linear, expected one")
        return summary_of(seen)

    def penultimate(self, inputs: Tensor) -> Tensor:
        seen: list[Tensor] = []

        def note(node: _Node, given: Sequence[Any], result: Any) -> None:
            if node.weights and any(layer in node.name for layer in _LAYERS):
                own = {value.data_ptr() for value in self.state_dict().values()}
                seen[:] = [
                    one for one in given if isinstance(one, Tensor) and one.data_ptr() not in own
                ][:1]

        self._run(inputs, note)
        if not seen:
            raise GateError(
                "got a prediction that went through no layer with weights of its own, expected"
                " one whose input is the model's activations"
            )
        return pooled(seen[0])

    def embedding(self, tokens: Tensor) -> Tensor:
        found: Tensor = getattr(self, self._names[_table(self._embedding())])
        return found.detach()

    def embedded(self, tokens: Tensor, values: Tensor) -> Tensor:
        found: Tensor = self._run(tokens, instead=(self._embedding(), values))
        return found

    def _embedding(self) -> _Node:
        """The one that the inputs go into. Besides, only whether a token is a certain one counts:
        a network that sees more of them would not be judged by what it does with the vectors.
        """
        same, found, masks = {_INPUT}, list[_Node](), set[str]()
        for node in self._nodes:
            uses = [
                any(_named(one) & same for one in part)
                for part in (node.args, node.kwargs.values())
            ]
            if not any(uses) or node.family in _SHAPES:
                continue
            if node.family in _SAME:
                same.add(node.result)
            elif node.family == "embedding" and _named(node.args[1]) & same and _table(node):
                found.append(node)
            elif node.family in _MASKS and not isinstance(node.args[1], dict):
                masks.add(str(node.args[1]))
            else:
                raise GateError(f"tokens go into {node.name} besides, expected an embedding alone")
        if len(found) != 1:
            raise GateError(f"tokens go into {len(found)} embeddings, expected one")
        if len(masks) > 1:
            raise GateError(
                f"it asks whether tokens are {', '.join(sorted(masks))}, expected one such, as the "
                "one that fills up"
            )
        return found[0]

    def _run(
        self,
        inputs: Tensor,
        note: Callable[[_Node, Sequence[Any], Any], None] | None = None,
        instead: tuple[_Node, Tensor] | None = None,
    ) -> Any:
        values: dict[str, Any] = {_INPUT: inputs}
        values |= {name: getattr(self, own) for name, own in self._names.items()}
        try:
            for node, done in zip(self._nodes, self._last_uses, strict=True):
                given = [_filled(one, values, inputs.device) for one in node.args]
                named = {key: _filled(v, values, inputs.device) for key, v in node.kwargs.items()}
                if node.family in _BY_CHANNEL:
                    _check_channels(*given, *named.values())
                if instead is not None and instead[0] is node:
                    result = instead[1]
                else:
                    result = node.run(*given, **named)
                values[node.result] = result
                if note is not None:
                    note(node, given, result)
                for name in done:
                    del values[name]
            if not isinstance(values[self._answer], Tensor):
                raise TypeError("its answer is no tensor")
            return values[self._answer]
        except _BROKEN as e:
            raise GateError(f"the network's graph cannot be run: {e}") from None


_SHAPES = frozenset({"sym_size", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones"})
"""Operators that look at the shape alone."""

_SAME = frozenset({"alias", "clone", "contiguous", "detach", "lift_fresh_copy"})
_MASKS = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})


def _table(node: _Node) -> str:
    """The weights that an embedding looks tokens up in; empty where they are computed."""
    named = _named(node.args[0]) & node.weights
    return next(iter(named), "")


class _Node:
    """One operator with its arguments; {"value": NAME} stands for what another one gave."""

    __slots__ = ("args", "family", "kwargs", "name", "result", "run", "weights")

    def __init__(self, document: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        self.name, self.result = str(document["op"]), str(document["result"])
        self.args, self.kwargs = list(document["args"]), dict(document["kwargs"])
        self.run = _operator(self.name)
        self._check_plain()
        self.family = self.name.split(".")[1]
        used = {name for one in (*self.args, *self.kwargs.values()) for name in _named(one)}
        self.weights = used & weights.keys()

    def _check_plain(self) -> None:
        """Raise ValueError where the answer would depend on luck, on others, or on what was before.

        The schema of instance_norm says that it changes nothing; it changes running statistics.
        """
        for place, name, expected in _PLAIN.get(self.name.split(".")[1], ()):
            given = self.args[place] if len(self.args) > place else self.kwargs.get(name, expected)
            if given is not expected and (given != expected or isinstance(given, bool)):
                raise ValueError(
                    f"got {self.name} with {name} {given!r}, as in training, expected {expected!r}"
                )


_PLAIN: Mapping[str, Sequence[tuple[int, str, Any]]] = {
    "alpha_dropout": [(2, "train", False)],
    "batch_norm": [(5, "training", False)],
    "dropout": [(2, "train", False)],
    "feature_dropout": [(2, "train", False)],
    "instance_norm": [
        (3, "running_mean", None),
        (4, "running_var", None),
        (5, "use_input_stats", True),
    ],
    "scaled_dot_product_attention": [(4, "dropout_p", 0.0)],
}
"""Arguments that operators must have, by place and name, so that a sample's answer is its own."""

_BY_CHANNEL = frozenset({"_native_batch_norm_legit_no_training", "batch_norm", "instance_norm"})
"""Operators with a figure for each channel, of which not all look whether there are as many."""


def _check_channels(inputs: Tensor, *figures: Any) -> None:
    """Raise ValueError where an operator would read beyond what there is."""
    for one in figures:
        if isinstance(one, Tensor) and one.shape != inputs.shape[1:2]:
            raise ValueError(f"got {tuple(one.shape)} figures of {tuple(inputs.shape)} channels")


def _operator(name: str) -> Callable[..., Any]:
    """The function behind an operator's name.

    Raises:
        ValueError: it is none of those that a graph may hold.
    """
    first, _, rest = name.partition(".")
    if first == "number" and rest in _NUMBERS:
        return _NUMBERS[rest]
    family, _, overload = rest.partition(".")
    if first == "aten" and family in OPERATORS and overload:
        found = getattr(getattr(torch.ops.aten, family), overload, None)
        if isinstance(found, torch._ops.OpOverload) and not found._schema.is_mutable:
            return found
    raise ValueError(f"got the operator {name!r}, expected one of touchstone.training.graph's list")


def read(folder: Path, weights: Mapping[str, Tensor]) -> GraphNetwork | None:
    """The network of a model tree that has a graph; None where it has none.

    Raises:
        ValueError: graph.json is malformed, or names an operator that is not allowed.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if len(document["nodes"]) > _MOST_NODES:
            raise ValueError(f"got {len(document['nodes'])} operators, at most {_MOST_NODES}")
        nodes = [_Node(one, weights) for one in document["nodes"]]
        learned = [str(name) for name in document["learned"]]
        return GraphNetwork(nodes, str(document["answer"]), weights, learned).eval()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; expected what training wrote") from None


def write(
    folder: Path, spec: ModelSpec, module: torch.nn.Module, sample: Tensor
) -> tuple[dict[str, Tensor], str]:
    """Trace how `spec` predicts with `module`, and write graph.json.

    Args:
        sample: a few inputs as the network sees them; its answers to them, alone and together, are
            what the graph's are held to.

    Returns:
        Tensors that the graph needs beside the module's weights, and why there is no graph; one of
        the two is empty.
    """
    if spec.task == "detection":
        return {}, "a detector's answers are no single tensor"
    try:
        document, constants = _traced(spec, module, sample)
        weights = {**module.state_dict(), **constants}
        known = {name: value.detach().cpu() for name, value in weights.items()}
        nodes = [_Node(one, known) for one in document["nodes"]]
        network = GraphNetwork(nodes, document["answer"], known, document["learned"]).eval()
        with torch.no_grad():
            for rows in (sample, sample[:1], sample[1:4]):
                _compare(network(rows), spec.predict(module, rows))
    except Exception as error:  # torch.export and the repository's code fail in any way
        return {}, f"{type(error).__name__}: {error}".strip().splitlines()[0][:300]
    (folder / FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return constants, ""


def _compare(ours: Tensor, theirs: Any) -> None:
    scale = max(1.0, float(theirs.abs().max()))
    gap = float((ours - theirs).abs().max()) / scale
    if ours.shape != theirs.shape or not gap <= _TOLERANCE:
        raise ValueError(f"the graph's answers differ from the network's by {gap:.2g}")


def _traced(
    spec: ModelSpec, module: torch.nn.Module, sample: Tensor
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    class Predicting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, inputs: Tensor) -> Any:
            return spec.predict(self.module, inputs)

    with torch.no_grad():
        program = torch.export.export(
            Predicting().eval(),
            (sample,),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
            strict=False,
        )
    if any(_changes_arguments(node.target) for node in program.graph.nodes):
        program = program.run_decompositions({})  # to operators that change nothing, no further
    signature = program.graph_signature
    names = {
        **{
            key: name.removeprefix("module.")
            for key, name in signature.inputs_to_parameters.items()
        },
        **{key: name.removeprefix("module.") for key, name in signature.inputs_to_buffers.items()},
        **{
            key: CONSTANT + name
            for key, name in signature.inputs_to_lifted_tensor_constants.items()
        },
        **dict.fromkeys(signature.user_inputs, _INPUT),
    }
    constants = {
        CONSTANT + name: program.constants[name].detach().contiguous()
        for name in signature.inputs_to_lifted_tensor_constants.values()
    }
    # A buffer that is not part of the state is a constant too.
    state = module.state_dict()
    for key, name in signature.inputs_to_buffers.items():
        if names[key] not in state:
            names[key] = CONSTANT + name
            constants[CONSTANT + name] = program.constants[name].detach().contiguous()
    nodes: list[dict[str, Any]] = []
    answer = ""
    for node in program.graph.nodes:
        if node.op == "call_function":
            name = _name_of(node.target)
            if name is None:  # an assertion on sizes: the operators themselves refuse others
                continue
            _operator(name)
            names[node.name] = node.name
            nodes.append(
                {
                    "op": name,
                    "result": node.name,
                    "args": [_written(one, names) for one in node.args],
                    "kwargs": {
                        key: _written(one, names)
                        for key, one in node.kwargs.items()
                        if key != "pin_memory"
                    },
                }
            )
        elif node.op == "output":
            (results,) = node.args
            if len(results) != 1:
                raise ValueError(f"got {len(results)} results, expected one tensor")
            answer = names[results[0].name]
    learned = [names[key] for key in signature.inputs_to_parameters]
    return {"nodes": nodes, "answer": answer, "learned": learned}, constants


def _changes_arguments(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _name_of(target: Any) -> str | None:
    if isinstance(target, torch._ops.OpOverload):
        name = str(target)
        return None if "_assert" in name or "sym_constrain" in name else name
    name = getattr(target, "__name__", str(target))
    return f"number.{name}"


def _written(value: Any, names: Mapping[str, str]) -> Any:
    """An argument as JSON."""
    if isinstance(value, torch.fx.Node):
        return {"value": names[value.name]}
    if isinstance(value, list | tuple):
        return [_written(one, names) for one in value]
    if isinstance(value, torch.dtype):
        return {"type": str(value).removeprefix("torch.")}
    if isinstance(value, torch.memory_format | torch.layout):
        return {"layout": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": "the inputs'"}
    if value is None or isinstance(value, bool | int | float | str):
        return {"number": str(value)} if value in (float("inf"), float("-inf")) else value
    raise ValueError(f"got an argument of type {type(value).__name__}")


_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
_LAYOUTS = ("strided", "contiguous_format", "channels_last", "preserve_format")


def _filled(argument: Any, values: Mapping[str, Any], device: torch.device) -> Any:
    """An argument as the operator takes it."""
    if isinstance(argument, list):
        return [_filled(one, values, device) for one in argument]
    if not isinstance(argument, dict):
        return argument
    ((kind, name),) = argument.items()
    if kind == "value":
        return values[name]
    if kind == "type" and name in _DTYPES:
        return getattr(torch, name)
    if kind == "layout" and name in _LAYOUTS:
        return getattr(torch, name)
    if kind == "number" and name in ("inf", "-inf"):
        return float(name)
    if kind == "device":
        return device
    raise ValueError(f"got the argument {argument}")


def _named(argument: Any) -> set[str]:
    if isinstance(argument, list):
        return {name for one in argument for name in _named(one)}
    return {str(argument["value"])} if isinstance(argument, dict) and "value" in argument else set()


def _last_uses(nodes: Sequence[_Node], answer: str) -> list[list[str]]:
    """For each operator the results that nothing needs after it: memory is given back early."""
    own = {node.result for node in nodes}
    last = {}
    for index, node in enumerate(nodes):
        for one in (*node.args, *node.kwargs.values()):
            last.update(dict.fromkeys(_named(one) & own, index))
        last.setdefault(node.result, index)
    done: list[list[str]] = [[] for _ in nodes]
    for name, index in last.items():
        if name != answer:
            done[index].append(name)
    return done
