"""What the kit asks the operating system, and plain files."""
