"""Histories: many processes change few sessions while workers and the store are killed."""
