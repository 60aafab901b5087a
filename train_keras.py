"""Trains and evaluates Tokens-to-Token Vision Transformers, as `t2t-keras train` does.

python train_keras.py --help
"""

import sys

from t2t_keras.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
