"""Has the kernel end this process when anything in it opens a socket: Python, or a library in C such as FFmpeg."""

import ctypes
import platform
import struct

# Linux's numbers, by the kind of machine: of the architecture, and of the system call `socket`.
_NUMBERS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NUMBER, _ARCHITECTURE = 0, 4  # places in what the filter looks at
_SET_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def supported() -> bool:
    """Tells if the numbers of this machine are known."""
    return platform.system() == "Linux" and platform.machine() in _NUMBERS


def forbid_sockets() -> None:
    """Forbids them, to this thread and to all threads and processes that it starts from now on.

    A process that opens one is ended by the signal SIGSYS.

    Raises:
      OSError: the system does not filter system calls.
    """
    architecture, socket = _NUMBERS[platform.machine()]
    # Code, how many instructions to jump over if equal and if not, number.
    instructions = (
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 3, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 1, 0, socket),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL),
    )
    program = _Program(len(instructions), b"".join(struct.pack("HBBI", *one) for one in instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")
