"""Holds a thread still until standard input ends: stall.py TID."""
import ctypes
import os
import sys

SEIZE, INTERRUPT, DETACH, ALL = 0x4206, 0x4207, 17, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
tid = int(sys.argv[1])
for request in (SEIZE, INTERRUPT):
    if libc.ptrace(request, tid, 0, 0) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(tid, ALL)
print("still", flush=True)
sys.stdin.read()
libc.ptrace(DETACH, tid, 0, 0)
