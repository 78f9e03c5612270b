"""Lets torchvision be imported beside a PyTorch without CUDA, and compares networks of peers with those here."""

import sys
import types

try:
    import torch
except ImportError:
    pass
else:
    # torchvision's wheels on PyPI are built for CUDA. Beside another PyTorch its own operators cannot be loaded, and
    # describing them to the compiler fails the whole import. Networks for videos use none of them.
    if torch.version.cuda is None:
        name = "torchvision._meta_registrations"
        sys.modules.setdefault(name, types.ModuleType(name))
