"""Release, attestation, promotion, review, sync and serving of a model that passed."""
