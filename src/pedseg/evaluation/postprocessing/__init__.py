"""Rules of post-processing on label maps in folders and in runs; the rules are in `pedseg.inference.postprocessing`."""
