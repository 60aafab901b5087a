"""Converts an official T2T-ViT checkpoint to a file that Keras reads, as `t2t-keras convert` does.

python convert_weights.py --help
"""

import sys

from t2t_keras.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
