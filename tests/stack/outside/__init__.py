"""Public reports and failures of single parts, tried from outside on the whole stack."""
