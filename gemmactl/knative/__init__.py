"""A service as Knative YAML, the form of `gcloud run services replace`, read and written. Knows no cloud."""
