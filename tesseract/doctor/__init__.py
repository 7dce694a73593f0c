"""What can go wrong for somebody who runs containers without root: one check per file in `checks/`.

A check separates the probe (looks at the machine, decides nothing) from the judgement (a pure function of what the
probe saw), so that every verdict can be tested with recorded probes.
"""
