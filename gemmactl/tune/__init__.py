"""Fine-tuning as its user sees it: wishes, the check of the data, the estimate, the job, what is followed."""
