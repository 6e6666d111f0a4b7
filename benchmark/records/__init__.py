"""What came out: a finished run in, one JSON file out, and back; a results folder of many. No torch."""
