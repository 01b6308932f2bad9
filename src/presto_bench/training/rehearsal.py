"""One process of a group that only forms, sums once and parts: does this node let training's processes talk to each other?"""

import os

import torch
from torch import distributed


def main() -> None:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    ones = torch.ones(1, device="cuda" if on_gpu else "cpu")
    distributed.all_reduce(ones)
    if int(ones.item()) != distributed.get_world_size():
        raise RuntimeError(f"{distributed.get_world_size()} processes summed their ones to {ones.item()}")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
