"""What a person does and sees, in a real browser on a real stack."""
