"""Files and embedded arrays in, batches of examples out, with all that is random in them drawn by sample."""
