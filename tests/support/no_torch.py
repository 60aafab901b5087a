"""Importing this makes `import torch` fail in the process, whether it is installed or not."""

import sys


class _NoTorch:
    """A finder that is asked before all others."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not to be imported")
        return None


sys.meta_path.insert(0, _NoTorch())
