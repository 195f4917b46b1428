"""`hitherto replay-diff`: two versions of the code, compared on all that is stored."""
