"""One of several processes that share a run: what `benchmark.train.team` promises, by torch.distributed.

Each computes its rows of every micro-batch, with the random numbers that these rows have in a run of one process. Losses are
of all rows (logits are gathered), so that a mean over whatever they count is that of the whole batch. Gradients are summed by
`DistributedDataParallel`: of a pathway those of the sum W + s A alone, from which every process makes those of W, A and s;
where W and A are frozen, that of s alone, to which each process adds what its own rows give.

Shapes: B rows of a micro-batch, n of them a process's own, k values of a row.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from benchmark.data.examples import Batch
from benchmark.model.pathway import CrossModal, Gain, not_exchanged, stepped_without_sum, sum_gradient
from benchmark.train.shared_layers import AtHand, share_layers
from benchmark.train.team import Rows, Team, Value

LOOPBACK = Path("/sys/class/net/lo")
LEFT_OUT = ("input", "query")  # large columns of a batch, which no metric reads


class Processes(Team):
    """One of `size` processes of a run, of which `rank` counts from 0. Close it at the end."""

    def __init__(self, rank: int, size: int, meeting: str, device: str = "cpu", backend: str | None = None):
        """`meeting` is a file of this machine that all of them can write, and that is not there yet; `backend` is that of
        torch.distributed (None: gloo, and NCCL between GPUs).
        """
        if LOOPBACK.is_dir():  # else gloo asks for the address of this machine's name, which may have none
            os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK.name)
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        backend = backend or ("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl")
        distributed.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=size)
        self.rank, self.size = rank, size
        self.at_hand = AtHand(rank)
        self.exchanged_bytes = self.exchanges = 0  # of gradients, by this process
        self.joined: DistributedDataParallel | None = None
        self.without_sum: list[CrossModal | Gain] = []

    def close(self) -> None:
        """Wait for the others, and leave."""
        self.any(False)
        distributed.destroy_process_group()

    def rows(self, num_samples: int, repeats: int, mixes: bool) -> Rows:
        """As of a team."""
        return rows_of(self.rank, self.size, num_samples, repeats, mixes)

    @contextmanager
    def micro_batch(self, rows: Rows | None, last: bool) -> Iterator[None]:
        """As of a team."""
        self.at_hand.rows = rows
        if self.joined is None:
            raise RuntimeError("no model has been joined")
        try:
            with nullcontext() if last else self.joined.no_sync():
                yield
            if last:
                self._exchange_pulled_back()
                self.exchanges += 1
        finally:
            self.at_hand.rows = None

    @property
    def pairs(self) -> tuple[Tensor, Tensor] | None:
        """As of a team."""
        rows = self.at_hand.rows
        return None if rows is None or rows.partners is None else (rows.own, rows.partners)

    def join(self, model: nn.Module) -> nn.Module:
        """As of a team; layers that look at a batch, or draw for it, are replaced."""
        share_layers(model, self.at_hand)
        self.check_equal(model, "at the start")
        buffers = [name for name, _ in model.named_buffers()]  # which every process makes of all rows itself
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, [*not_exchanged(model), *buffers])
        self.without_sum = stepped_without_sum(model)
        # Unused parameters are looked for as an arm may hold some; they keep no gradient, as in one process.
        self.joined = DistributedDataParallel(model, find_unused_parameters=True, init_sync=False)
        self.joined.register_comm_hook(None, lambda state, bucket: self._add_up(bucket))
        return self.joined

    def _add_up(self, bucket: Any) -> torch.futures.Future[Tensor]:
        """The sum where `DistributedDataParallel` has the mean, which rounds once more"""
        gradients = bucket.buffer()
        self.exchanged_bytes += gradients.numel() * gradients.element_size()
        work = distributed.all_reduce(gradients, async_op=True)
        assert work is not None
        return work.get_future().then(lambda future: future.value()[0])

    def _exchange_pulled_back(self) -> None:
        """Of layers that are stepped without the gradient of their sum: what each process pulled back of its own, added up"""
        for child in self.without_sum:
            child.pull_back()
        gradients = [parameter.grad for child in self.without_sum for parameter in child.parameters()
                     if parameter.requires_grad and parameter.grad is not None]
        if not gradients:
            return
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        self.exchanged_bytes += joined.numel() * joined.element_size()
        distributed.all_reduce(joined)
        for gradient, added in zip(gradients, joined.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(added.view_as(gradient))

    def complete_sums(self) -> None:
        """As of a team."""
        for child in self.without_sum:
            distributed.all_reduce(sum_gradient(child.linear.weight))

    def whole(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """As of a team; the columns are gathered when they are read."""
        rows = self._rows_at_hand()
        pieces = self._gather(logits.detach())
        pieces[self.rank] = logits
        return torch.cat(pieces)[_places(rows).to(logits.device)], cast(Batch, Whole(batch, self))

    def whole_column(self, own: Tensor) -> Tensor:
        """(n, ...) of each process -> (B, ...), in the order of the micro-batch"""
        return torch.cat(self._gather(own))[_places(self._rows_at_hand()).to(own.device)]

    def _rows_at_hand(self) -> Rows:
        rows = self.at_hand.rows
        if rows is None:
            raise RuntimeError("there is no micro-batch at hand")
        return rows

    def _gather(self, own: Tensor) -> list[Tensor]:
        """(n, ...) of each process, bit for bit, as bytes: of whatever type they are"""
        counts = [len(rows) for rows in self._rows_at_hand().everyone]
        if len(own) != counts[self.rank]:
            raise ValueError(f"a tensor of {len(own)} rows for {counts[self.rank]} samples: where several processes share a "
                             "run, logits and columns of a batch have a row for each sample")
        held = own.contiguous().view(-1).view(torch.uint8)
        size = len(held) // len(own)
        sent = held.new_zeros(max(counts) * size)
        sent[: len(held)] = held
        received = [torch.empty_like(sent) for _ in counts]
        distributed.all_gather(received, sent)
        return [piece[: count * size].view(own.dtype).view(count, *own.shape[1:])
                for piece, count in zip(received, counts, strict=True)]

    def mean(self, loss: Tensor) -> Tensor:
        """As of a team."""
        rows = self._rows_at_hand()
        share = loss * (len(rows.own) / rows.total)
        total = share.detach().clone()
        distributed.all_reduce(total)
        return share + (total - share.detach())

    def in_order(self, found: Iterator[Value], count: int) -> Iterator[Value]:
        """As of a team; tensors come on the CPU, and large columns of batches, which no metric reads, do not come."""
        for _ in range(-(-count // self.size)):
            mine = [_lightened(one) for one in islice(found, 1)]
            everyone: list[list[Value]] | None = [[] for _ in range(self.size)] if self.rank == 0 else None
            distributed.gather_object(mine, everyone)
            for one in everyone or ():
                yield from one

    def told(self, compute: Callable[[], Value]) -> Value:
        """As of a team."""
        held = [compute() if self.rank == 0 else None]
        distributed.broadcast_object_list(held)
        return cast(Value, held[0])

    def any(self, flag: bool) -> bool:
        """As of a team."""
        return self.largest(float(flag)) > 0

    def largest(self, value: float) -> float:
        """As of a team."""
        values = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(values, distributed.ReduceOp.MAX)
        return values.item()

    def check_equal(self, model: nn.Module, when: str) -> None:
        """As of a team."""
        own = {name: checksum(tensor) for name, tensor in model.state_dict().items()}
        everyone: list[dict[str, int]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(everyone, own)
        for rank, other in enumerate(everyone):
            odd = [name for name in own if other.get(name) != everyone[0].get(name)]
            if odd:
                raise RuntimeError(f"{when} process {rank + 1} of {self.size} holds other weights than the first: {odd[0]} and "
                                   f"{len(odd) - 1} more; what builds a model must depend on nothing but its spec and seed")


class Whole(Mapping[str, Tensor]):
    """A batch of all rows, whose columns are gathered when they are read: by every process, in one order."""

    def __init__(self, batch: Batch, team: Processes):
        self.batch, self.team = batch, team
        self.gathered: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.gathered:
            self.gathered[name] = self.team.whole_column(self.batch[name])
        return self.gathered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch)

    def __len__(self) -> int:
        return len(self.batch)


def checksum(tensor: Tensor) -> int:
    """The sum of a tensor's bits in pieces of its own size, which wraps: the same bits have the same"""
    pieces = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return int(tensor.detach().contiguous().view(pieces).sum(dtype=torch.int64))


@lru_cache(maxsize=64)
def rows_of(rank: int, size: int, num_samples: int, repeats: int, mixes: bool) -> Rows:
    """What one of `size` processes computes of a micro-batch: samples that follow each other, and all repetitions of each.

    Every row is mixed with the next of the micro-batch, in which all samples come once before they come again.
    """
    if num_samples < size:
        raise ValueError(f"a micro-batch has {num_samples} sample{'s' * (num_samples > 1)}, too few for {size} processes to "
                         "share; use fewer processes, or lower recipe.accumulation")
    shares = torch.arange(num_samples).tensor_split(size)
    again = torch.arange(repeats)[:, None] * num_samples
    everyone = tuple((again + share).flatten() for share in shares)
    samples = shares[rank]
    count = len(samples)
    if not mixes:
        return Rows(everyone, everyone[rank], torch.arange(len(everyone[rank])), None)
    following = (int(samples[-1]) + 1) % num_samples
    loaded = (again + torch.cat([samples, torch.tensor([following])])).flatten()
    places = torch.arange(repeats)[:, None] * (count + 1) + torch.arange(count)
    partners = places + 1
    if following == 0:  # what is next to the last sample is the first one, when it comes again
        partners[:, -1] = partners[:, -1].roll(-1)
    return Rows(everyone, loaded, places.flatten(), partners.flatten())


def _places(rows: Rows) -> Tensor:
    """(B,): where each row of the micro-batch is when those of all processes are one after the other"""
    return torch.cat(rows.everyone).argsort()


def _lightened(found: Any) -> Any:
    """Tensors on the CPU, batches without their large columns"""
    if isinstance(found, Tensor):
        return found.cpu().clone()
    if isinstance(found, dict):
        return {name: _lightened(value) for name, value in found.items() if name not in LEFT_OUT}
    return tuple(map(_lightened, found)) if isinstance(found, tuple) else found
