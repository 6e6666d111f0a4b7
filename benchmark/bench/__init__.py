"""What the suite costs, measured on the machine at hand: side by side, alternating, medians with their spread."""
