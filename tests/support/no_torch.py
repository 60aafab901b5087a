"""Makes `import torch` fail in this process, even where torch is installed."""

import sys


class _NoTorch:
    """The first finder that Python asks."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is not to be imported")
        return None


sys.meta_path.insert(0, _NoTorch())
