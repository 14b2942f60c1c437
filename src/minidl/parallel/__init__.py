"""Training on several processes at once, started by `mpiexec`, `srun` or `torchrun`.

    group = minidl.parallel.group()
    minidl.fit(…, batch_size=1000, parallel=group)

Each process is a rank. It has the model, and of every batch a part; the gradients are summed over
the ranks before each update, so that all stay alike and do what one process would. The engines
that do the communication are MPI (by mpi4py) and torch.distributed; minidl asks them for one sum of
one vector a step.

Started without a launcher the group is one of one rank, whose operations do nothing.
"""

from minidl.parallel.agreement import DisagreementError
from minidl.parallel.group import Group, LostRankError, group

__all__ = ["DisagreementError", "Group", "LostRankError", "group"]
