"""The mathematics of one example and of counts, in torch alone."""
