"""CIFAR-10 from the Hugging Face hub, for machines with a network."""

import io
import pathlib

import numpy as np
from jaxtyping import Float, Int

REPOSITORY = "uoft-cs/cifar10"
FILES = {
    "train": "plain_text/train-00000-of-00001.parquet",
    "test": "plain_text/test-00000-of-00001.parquet",
}
PRETRAIN = 40_000
"""Images of the training file that are for pretraining; the rest is for adaptation."""


class UnavailableError(ValueError):
    """CIFAR-10 is not on this machine and cannot be fetched."""


def load(split: str) -> tuple[Float[np.ndarray, "k 32 32 3"], Int[np.ndarray, " k"]]:
    """The images of a split with values in [0, 1], and their labels.

    Raises:
        UnavailableError: the files are neither here nor to be had.
    """
    images, labels = read(fetch("test" if split == "test" else "train"))
    part = {"pretrain": slice(PRETRAIN), "train": slice(PRETRAIN, None), "test": slice(None)}
    return images[part[split]], labels[part[split]]


def fetch(name: str) -> pathlib.Path:
    """The path of a file of the data set, fetched unless it is here already.

    Raises:
        UnavailableError: as for `load`; the message says what to do.
    """
    try:
        from huggingface_hub import hf_hub_download

        found = hf_hub_download(REPOSITORY, FILES[name], repo_type="dataset", etag_timeout=5)
    except (ImportError, OSError, ValueError) as error:
        raise UnavailableError(
            f"CIFAR-10 cannot be fetched ({type(error).__name__}): it needs a network and the "
            "package huggingface-hub; without them use source='digits', which comes with "
            "scikit-learn"
        ) from error
    return pathlib.Path(found)


def read(path: str | pathlib.Path) -> tuple[Float[np.ndarray, "k 32 32 3"], Int[np.ndarray, " k"]]:
    """Read a parquet file with the columns `img`, of encoded pictures, and `label`.

    Raises:
        ValueError: it is no such file, or a picture is not 32 x 32.
    """
    import pyarrow
    from PIL import Image
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["img", "label"])
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} is no parquet file of CIFAR-10: {error}") from error
    if missing := {"img", "label"} - set(table.column_names):
        raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
    images = np.empty((len(table), 32, 32, 3), np.float32)
    for row, picture in enumerate(table["img"].to_pylist()):
        with Image.open(io.BytesIO(picture["bytes"])) as image:
            pixels = np.asarray(image.convert("RGB"))
        if pixels.shape != (32, 32, 3):
            raise ValueError(f"{path}: picture {row} has {pixels.shape[:2]} pixels, not 32 x 32")
        images[row] = pixels / np.float32(255)
    return images, table["label"].to_numpy()
