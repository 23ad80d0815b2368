"""Thresholds at which parts of the tumour are as large as they are thought to be in the target; no label of it is read.

A network that has learnt one population's tumours carries their make-up over to another one: one trained on adults
draws oedema around every child's tumour core. Where classes have other frequencies and look the same within, the
optimal decision moves by a constant in the logit. Each rule says in its own file where the frequencies come from.
"""
