"""The fine-tune job's package: data in, a served model out. Knows nothing of gemmactl."""
