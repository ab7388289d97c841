"""Single operations of many clients through nginx: one order explains all their answers."""
