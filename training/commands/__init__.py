"""One module for each word after ``adasr train``: SUMMARY, add_arguments(parser), run(args)."""
