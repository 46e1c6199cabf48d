"""One network shared by several processes: DDP, FSDP2, and what either needs of the rest."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributed import init_device_mesh
from torch.distributed._composable import checkpoint
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from lexiseg.core import processes
from lexiseg.training.engine.task import SharedTask, Task

Sharding = Literal["ddp", "fsdp2"]


class _Losses(nn.Module):
    """A task's losses as the forward pass of one module, as DDP and FSDP2 want it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.network = task.module
        self._task = task

    def forward(self, batch: Any, step: int) -> Mapping[str, Tensor]:
        return self._task.losses(batch, step)


class ParallelModule:
    """A task's network, ready for forward and backward passes by one process or by all together."""

    def __init__(self, task: Task, *, sharding: Sharding) -> None:
        """Wraps the task's module, whose weights must be those to begin with.

        Args:
            task: its module is trained in place; FSDP2 replaces its trained parameters by sharded ones.
            sharding: "ddp": every process holds all weights; "fsdp2": each holds a part of weights, gradients and
                optimiser, and frozen weights whole. One process alone needs neither.
        """
        self._losses: nn.Module = _Losses(task)
        if processes.world_size() == 1:
            return
        if sharding == "ddp":
            # Not every parameter is used: of a Swin, transformers has a last norm that nothing reads.
            self._losses = DistributedDataParallel(self._losses, find_unused_parameters=True)
        else:
            assert isinstance(task, SharedTask), "several processes need one"
            _shard(self._losses, task.blocks)

    def backward(self, batch: Any, step: int, *, is_last: bool) -> dict[str, Tensor]:
        """Adds the gradient of a microbatch, and returns its terms.

        Gradients are summed over the processes once, with the last microbatch.
        """
        waits = nullcontext()
        if isinstance(self._losses, FSDPModule):
            self._losses.set_requires_gradient_sync(is_last)
        elif isinstance(self._losses, DistributedDataParallel) and not is_last:
            waits = self._losses.no_sync()
        with waits:
            terms = self._losses(batch, step)
            loss = torch.stack(list(terms.values())).sum()
            (loss * processes.world_size()).backward()  # either wrapper takes the mean over processes; this is a sum
        return {name: value.detach() for name, value in terms.items()}


def _shard(losses: nn.Module, blocks: Sequence[nn.Module]) -> None:
    """Shards every block on its own, and what lies beside them together; what is frozen stays whole."""
    frozen = {p for p in losses.parameters() if not p.requires_grad}
    device = next(losses.parameters()).device.type
    mesh = init_device_mesh(device, (processes.world_size(),))
    for block in blocks:
        fully_shard(block, mesh=mesh, ignored_params=frozen)
    fully_shard(losses, mesh=mesh, ignored_params=frozen)


def checkpoint_activations(blocks: Sequence[nn.Module]) -> None:
    """Lets every block forget what it computed and compute it again in the backward pass (Chen et al., 2016).

    Modules and their names stay as they are.
    """
    for block in blocks:
        checkpoint(block)


def share_batch_norms(module: nn.Module, *, is_split: bool) -> None:
    """Makes batch norms that learn look at the batches of all processes, as they would at that of one.

    Args:
        module: changed in place.
        is_split: whether a process sees its batch in several passes, or computes one of them twice.

    Raises:
        ValueError: if they can't: torch synchronises them on a GPU alone, and within one forward pass.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    if not norms or (processes.world_size() == 1 and not is_split):
        return
    if is_split or next(module.parameters()).device.type == "cpu":
        raise ValueError(
            "a backbone that is trained from nothing has batch norms, which must see the whole batch at once: begin "
            "from a trained one (--start), which keeps its own, or take one process without accumulation or "
            "checkpointed activations."
        )
    nn.SyncBatchNorm.convert_sync_batchnorm(module)


def whole(tree: Any, *, in_first: bool = False) -> Any:
    """A tree of plain data in which sharded tensors are whole, on the CPU; all processes must call it together.

    Args:
        tree: of mappings and lists.
        in_first: only the first process keeps them, one tensor after the other; those of the others are empty.
    """
    if isinstance(tree, DTensor):
        gathered = tree.full_tensor()
        return gathered.new_empty(0, device="cpu") if in_first and processes.rank() != 0 else gathered.cpu()
    if isinstance(tree, Mapping):
        return {key: whole(value, in_first=in_first) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(whole(value, in_first=in_first) for value in tree)
    return tree


def like(value: Tensor, example: Tensor) -> Tensor:
    """A whole tensor, sharded as another of its shape is."""
    if not isinstance(example, DTensor):
        return value
    return distribute_tensor(value.to(example.device), example.device_mesh, example.placements)


def local(tensor: Tensor) -> Tensor:
    """The part of a sharded tensor that this process holds, to be read and written; else the tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
