"""The tests. Each module says which promise its tests hold, and each test what it demands."""
