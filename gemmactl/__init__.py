"""gemmactl: your fine-tuned Gemma on Cloud Run. Importing this package does nothing else."""

from typing import Final

__version__: Final = "0.1.0"
