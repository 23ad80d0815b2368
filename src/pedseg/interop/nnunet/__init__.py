"""Networks that nnU-Net v2, or the released code of Fu et al. 2024 on top of it, has trained, as runs of pedseg."""
