"""Pretrain the transformer of chapter `vision` and write its weights: `make pretrain`."""

import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import jax

from prompt_attention.vision import adaptation, images, pretraining
from prompt_attention.vision.transformer import Shape

SEED = 0
ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "lib" / "prompt_attention" / "vision" / "weights.safetensors"
CHECKPOINT = ROOT / "_build" / "pretraining"


def main() -> None:
    """Train, test on images that training has not seen, write."""
    train_key, test_key = jax.random.split(jax.random.key(SEED))
    split = images.load("pretrain")
    run = pretraining.pretrain(train_key, Shape(), split, checkpoint=CHECKPOINT)
    held_out = pretraining.FAMILY.sample(test_key, images.load("test"), 5000)
    accuracy = float(adaptation.accuracy(run.model, held_out))
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    provenance = {
        "commit": commit.stdout.strip(),
        "seed": SEED,
        "steps": len(run.losses),
        "first losses": [float(loss) for loss in run.losses[:5]],
        "accuracy": accuracy,
        "data": pretraining.fingerprint(split),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
    pretraining.save_weights(WEIGHTS, run.model, provenance)
    shutil.rmtree(CHECKPOINT)
    print(f"[pretrain] accuracy {accuracy:.4f} on full-tiled canvases; {WEIGHTS} is written")


if __name__ == "__main__":
    main()
