"""Hyper-parameters chosen on the validation split."""
