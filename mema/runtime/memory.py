"""The allocator of a process that computes on a CPU."""

import ctypes
import platform

# Of glibc's mallopt (malloc.h).
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
LARGEST = 2**31 - 1


def keep_freed() -> None:
    """Keep freed memory for the next tensor, where glibc would give each large one back to the system at once.

    A training step then asks for its memory anew, page by page: at 256 px that was two fifths of MedSem-DeID's step
    on a CPU (docs/speed.md). Threads share one arena, since those of their own hold 64 MB at most. The process keeps
    its peak until it ends. Elsewhere than on glibc nothing is done.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, LARGEST)
        libc.mallopt(ARENA_MAX, 1)
