"""Batches in, features and logits out: tokenizers, one encoder, its pathways, masked autoencoders, heads and their weights."""
