"""Synthetic adult and paediatric glioma cohorts on the MNI152 anatomy, in the layout of BraTS 2023.

Nothing is imported here, so that ``pedseg phantom --help`` answers at once; see `pedseg.phantom.cohort`.
"""
