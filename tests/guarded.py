"""Arrays that end, or begin, at a page that must not be touched: reading or writing beyond them ends the process."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
PROT_NONE = 0


def guarded(array: np.ndarray, at: str = "end") -> np.ndarray:
    """Return a copy of the array between two forbidden pages, against the one after it or before it."""
    page = mmap.PAGESIZE
    room = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, room + 2 * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for forbidden in (address, address + page + room):
        if _libc.mprotect(forbidden, page, PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect failed")
    offset = page + (room - array.nbytes if at == "end" else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy
