"""The program `python -m t2t_keras`, which is `t2t-keras`."""

import sys

from t2t_keras.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
